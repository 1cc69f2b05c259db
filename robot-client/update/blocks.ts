/**
 * Decides which bundles are not installed again by themselves: those that failed here, and for one
 * rollout a version that a person took back by hand. Sans-I/O.
 */

import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { hasSay } from '../../shared/formats/trust-chain.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { LOST_PAYLOAD, type Job, type MachineState } from './state.ts';

type Block = MachineState['blocked'][number];

/**
 * Nothing is known to be wrong with a version that a person took back: it waits for that person.
 */
export function blockOf({ version, payloadSha256, by, rollout }: Job, code: string): Block {
  const bound = code === 'ACTIVE_CHANGED' && { rollout };
  return { version, payloadSha256, code, ...(by.length > 0 && { by }), ...bound };
}

/** The block that keeps a bundle of a rollout from being taken. */
export function blockAgainst(
  blocked: readonly Block[],
  offer: { readonly version: string; readonly payloadSha256: string; readonly rollout: string },
): Block | undefined {
  return blocked.find(({ version, payloadSha256, rollout }) => {
    if (rollout !== undefined && rollout !== offer.rollout) return false;
    return payloadSha256 === LOST_PAYLOAD
      ? version === offer.version
      : payloadSha256 === offer.payloadSha256;
  });
}

/** Describes what happened to it here. */
export function blockedBy({ rollout, code }: Block): string {
  if (rollout !== undefined) return 'a person took it back';
  return code === 'ROLLOUT_RECALLED' ? 'its rollout was called back' : 'it failed';
}

const CALLED_BACK_HINT =
  'nothing has to be done: a person called the set back; publish what is mended under higher versions';

/** Another computer of the robot, which a bundle for one of its components has to fit. */
export interface Elsewhere {
  readonly arch: string;
  readonly compatible: readonly string[];
  /** Name of the computer; null or absent for the one that leads. */
  readonly computer?: string | null | undefined;
  /** All roots of that computer, for commands that people type there. */
  readonly roots?: readonly { readonly component: string; readonly root: string }[] | undefined;
}

/** The component for which a set fails. */
export interface FailedMember {
  readonly component: string;
  readonly version: string;
  readonly code?: string | null;
  /** Absent for a component of this computer. */
  readonly elsewhere?: Elsewhere | undefined;
  /** Absent or true when its version is blocked, so that a person can lift that. */
  readonly isBlocked?: boolean;
}

/**
 * Why a component goes back with its set, or is not taken in it. The hint is about the component
 * that failed: no other version is blocked.
 * @param failed null when it is not known which one did
 */
export function setFailed(message: string, failed: FailedMember | null): Problem {
  const hint = failed?.code === 'ROLLOUT_RECALLED' ? CALLED_BACK_HINT : liftHint(failed);
  return toProblem(new DroverError('SET_FAILED', message, { hint }));
}

const LIFT = ': drover-robot unblock ITS_VERSION';

/** With the command as it has to be typed on the computer that has the component. */
function liftHint(failed: FailedMember | null): string {
  const { hint } = CATALOGUE.SET_FAILED;
  if (failed === null) return hint;
  const { component, version, elsewhere, isBlocked = true } = failed;
  if (!isBlocked) return hint.slice(0, hint.indexOf(', or lift'));
  const { computer, roots = [] } = elsewhere ?? {};
  const name = computer == null ? 'the main computer of the robot' : `computer ${computer}`;
  const words = roots.map((one) => ` --root ${shellWord(`${one.component}=${one.root}`)}`);
  const command = `drover-robot unblock ${version}${words.join('')} --component ${component}`;
  return hint.replace(LIFT, `${elsewhere ? ` on ${name}` : ''}: ${command}`);
}

/** Null when that version was not blocked. */
export function unblocked(state: MachineState, version: string): MachineState | null {
  const blocked = state.blocked.filter((one) => one.version !== version);
  return blocked.length === state.blocked.length ? null : { ...state, blocked };
}

/** Bundles that are blocked for every rollout: the fleet has to know them. */
export const blockedForAll = (blocked: readonly Block[]): Block[] =>
  blocked.filter(({ rollout }) => rollout === undefined);

/**
 * Without the blocks that keys have caused which were replaced since: a stolen one may have ruined
 * a release, so it is tried again.
 */
export function standing(state: MachineState, trust: TrustRoot): MachineState {
  const stands = ({ by = [] }: Block): boolean =>
    by.length === 0 || hasSay(by, trust.roles.rollout);
  return { ...state, blocked: state.blocked.filter(stands) };
}

/** Bundles that are not tried again by themselves, also while a rollback is stuck. [P-10.5] */
export function blockedOf({ phase, job, blocked }: MachineState): MachineState['blocked'] {
  if (phase !== 'stuck' || !job) return blocked;
  const { version, payloadSha256 } = job;
  return [...blocked, { version, payloadSha256, code: 'ROLLBACK_FAILED' }];
}
