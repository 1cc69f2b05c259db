/**
 * Decides at a boot whether the release that boots can be trusted, and whether to go back.
 * `recover` never goes to a release that is worse, and it does not go back twice for the same file
 * of the same version: a file that an application writes itself must not send a robot round in
 * circles. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { BootMoment } from '../boot/boot-slots.ts';
import { powerEvent, type MachineEvent } from '../update/machine.ts';
import { damageProblem, type ReleaseCheck } from '../install/seal.ts';
import {
  slotProblem,
  versionOf,
  withOwnRollback,
  type Slot,
  type Slots,
} from '../install/slots.ts';
import { leadsNowhere, slotsWith } from '../update/unlinked.ts';
import { MENDED_HINT } from '../update/lost-state.ts';
import type { AgentProcess } from '../self/launch.ts';
import { takenBack } from '../update/probation.ts';
import { notUpEvent } from '../update/self-trial.ts';
import { isUnderWay, type MachineState } from '../update/state.ts';

export interface BootFacts {
  readonly state: MachineState;
  readonly slots: Slots;
  readonly active: ReleaseCheck;
  readonly rollback: ReleaseCheck;
  /** Checked when neither `active` nor `rollback` leads to a whole release. */
  readonly spare?: Spare | null;
  readonly bootsMax: number;
}

/** The installed release, the one before it or an older one, when no link leads to it any more. */
export interface Spare {
  readonly version: string;
  readonly check: ReleaseCheck;
}

/** The better of two boots; one without a seal may be whole. */
const RANK: Readonly<Record<ReleaseCheck['kind'], number>> = {
  absent: 0,
  damaged: 1,
  unknown: 2,
  whole: 3,
};

export interface BootDecision {
  /** Why the release that boots is not whole; null when it is, or when that is unknown. */
  readonly problem: Problem | null;
  /** The damaged file. */
  readonly damage: { readonly version: string; readonly path: string } | null;
  readonly goesBackTo: string | null;
  /** The other release lost files as well: the boot is better than none, and not a good one. */
  readonly isPoor?: boolean;
}

/** Decides what is wrong with the release that boots, and where to go back to. */
export function decideBoot(facts: BootFacts): BootDecision {
  const { active, rollback, state } = facts;
  const nothing = { problem: null, damage: null, goesBackTo: null };
  if (facts.slots.active.kind === 'foreign' || isSwapUnderWay(state)) return nothing;
  const slots = slotsWith(withOwnRollback(facts.slots), state);
  const problem = problemOf(slots, active);
  if (problem === null) return nothing;
  const version = versionOf(slots.active);
  const damage =
    active.kind === 'damaged' && version !== null ? { version, path: active.path } : null;
  const back = versionOf(slots.rollback);
  // A release without a link is taken when it is known to be whole, and rollback is not.
  const { spare = null } = facts;
  const isSpareBetter = spare?.check.kind === 'whole' && rollback.kind !== 'whole';
  const isBad = active.kind === 'absent' || active.kind === 'damaged';
  if (isBad && spare && isSpareBetter) {
    return { problem, damage, goesBackTo: spare.version };
  }
  const isBetter = back !== null && back !== version && RANK[rollback.kind] > RANK[active.kind];
  if (!isBetter) return { problem, damage, goesBackTo: null };
  if (rollback.kind !== 'damaged') return { problem, damage, goesBackTo: back };
  // Better than nothing, and not whole: the fleet has to know.
  const { path, why } = rollback;
  const message = `${problem.message}, and what is left, ${back}, lost bytes: ${path}: ${why}`;
  return {
    problem: toProblem(new DroverError('RELEASE_DAMAGED', message)),
    damage, // of the release that is left; the other one is reported at the next boot
    goesBackTo: back,
    isPoor: true,
  };
}

/**
 * The error of the disk for the release of `rollback`, and whether the robot then has nothing
 * better to boot.
 */
export function unreadWayBack(
  { slots, rollback }: Pick<BootFacts, 'slots' | 'rollback'>,
  goesBackTo: string | null,
): { readonly problem: Problem; readonly isAllThereIs: boolean } | null {
  const back = versionOf(slots.rollback);
  const isUnsure = rollback.kind === 'damaged' || rollback.kind === 'unknown';
  const unread = isUnsure ? rollback.unread : undefined;
  if (back === null || unread === undefined) return null;
  const message = `look at ${back}, the way back: ${unread.message}`;
  const problem = toProblem(new DroverError(unread.code, message));
  return { problem, isAllThereIs: goesBackTo === null || goesBackTo === back };
}

/** The state of a swap or a rollback itself says where it leads. */
export const isSwapUnderWay = ({ phase }: MachineState): boolean => isUnderWay(phase);

function problemOf(slots: Slots, check: ReleaseCheck): Problem | null {
  const { active } = slots;
  if (active.kind === 'lost') return active.problem;
  if (active.kind === 'absent') return slotProblem(slots);
  if (active.kind !== 'release' || check.kind !== 'damaged') return null;
  return damageProblem(active.version, check);
}

export interface Boots {
  /** Version that boots now; null when it is no release of Drover's. */
  readonly version: string | null;
  /** True when `active` leads to a folder that Drover did not install: that one boots. */
  readonly bootsForeign: boolean;
}

const FOREIGN_FOLDERS = [
  ...['SLOT_OUTSIDE', 'SLOT_NAME', 'SLOT_FOLDER', 'ADOPT_IMPOSSIBLE'],
  'SLOT_NOT_UTF8',
];

/** Returns what boots through this `active`. */
export const bootsOf = (active: Slot): Boots => ({
  version: versionOf(active),
  bootsForeign: active.kind === 'foreign' && FOREIGN_FOLDERS.includes(active.problem.code),
});

interface StartFacts extends Pick<BootFacts, 'state' | 'slots' | 'bootsMax'> {
  /** The process that starts, where the component is the agent itself. */
  readonly self?: AgentProcess | undefined;
  /** Null or left out where the kernel does not name its boots. */
  readonly at?: BootMoment | null;
}

/**
 * The event of a start. A robot on probation whose `active` is another release went back at a boot
 * that could not be counted, and removed `rollback`; otherwise a person took the version back. That
 * is finished now.
 */
export function startEvent(
  { state, slots, bootsMax, self, at = null }: StartFacts,
  by: 'recover' | 'agent',
): MachineEvent {
  const { phase, job } = state;
  const notUp = self ? notUpEvent(state, self) : null;
  if (notUp) return notUp;
  const active = versionOf(slots.active);
  if (phase === 'probation' && job && active !== null && active !== job.version) {
    const isOurs = slots.rollback.kind === 'absent';
    const byHand = takenBack(job.version, `active leads to ${active}`);
    return { kind: 'boots_exhausted', problem: isOurs ? notCounted(job.version) : byHand };
  }
  // Each start of an agent on probation is its own doing: it counts as a boot of it.
  return powerEvent(state, by, { bootsMax, at: self ? null : at });
}

/** Why this start counts no boot of the version on probation; null when it does, or goes back. */
export function uncounted({ state, slots }: StartFacts, isBoot: boolean): string | null {
  const { phase, job } = state;
  const active = versionOf(slots.active);
  const isOther = active !== null && active !== job?.version;
  if (phase !== 'probation' || !job || isOther) return null;
  const is = `${job.version} is on probation`;
  if (leadsNowhere(slots.active)) return `${is} and does not boot: no boot was counted`;
  return isBoot ? null : `${is}: no boot was counted (--no-boot)`;
}

export function notCounted(version: string): Problem {
  const message = `count a boot of ${version}: its state could not be written`;
  return toProblem(new DroverError('BOOT_NOT_COUNTED', message));
}

/** Why a version stays whose boot could not be counted. */
export const confirmedBefore = (version: string): string =>
  `${version} stays, although its boot could not be counted: it was confirmed here before the state was lost`;

/** Describes the end of a rollback; a version without another one to go back to stays. */
export const rolledBack = (from: string, to: string | null): string =>
  from === to
    ? `${from} failed and stays: there is no whole release to go back to`
    : `rolled back from ${from} to ${to ?? 'nothing'}`;

/** Records a damaged release in the state. */
export function withDamage(
  state: MachineState,
  { problem, damage, goesBackTo }: BootDecision,
  now: EpochMs,
): MachineState {
  if (problem === null) return state;
  const version = damage?.version ?? null;
  const damages = damage ? [...state.damages, damage].slice(-LIMITS.damagesMax) : state.damages;
  const stays = goesBackTo === null || goesBackTo === state.installed?.version;
  const installed = stays ? state.installed : null;
  const lastActive = goesBackTo ?? state.lastActive;
  return {
    ...state,
    installed,
    lastActive,
    damages,
    lastProblem: {
      ...problem,
      ...(goesBackTo !== null && { hint: MENDED_HINT }),
      version,
      atMs: now,
    },
  };
}
