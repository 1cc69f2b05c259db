/**
 * Decides which of several announced rollouts a robot can take, one after another: a version that
 * is too far for it may be in reach from another one. The forecast of the publisher uses it, and
 * the controller uses it to know which robots will still come. Sans-I/O.
 */

import type { Rollout } from '../formats/announcement.ts';
import { hasSlotsFor } from '../formats/apply-strategy.ts';
import type { Manifest } from '../formats/manifest.ts';
import type { ComponentState, RobotState } from '../formats/messages.ts';
import { runningRelease } from './release-identity.ts';
import { lacksLogProof } from '../tlog/logged.ts';
import type { Together } from './requires.ts';
import { isTargeted, machineOf, unfitFor, type Unfit } from './rollout-rules.ts';
import { compareVersions, versionMeets } from '../base/version.ts';

/** A rollout that is announced, or is about to be. */
export interface Offer {
  readonly id: string;
  readonly target: Rollout['target'];
  readonly manifest: Manifest;
  readonly hasLogProof: boolean;
  /** The bundles that robots take together with it; null or absent for one by itself. */
  readonly set?: Together | null;
}

/** The component of this robot that the rollout means; undefined when it means none. */
export function componentFor(
  { target, manifest }: Offer,
  state: RobotState,
): ComponentState | undefined {
  const { robot_id: robot, arch, tags } = state;
  if (!isTargeted({ target }, { robot, arch, tags })) return undefined;
  return state.components.find(({ name }) => name === manifest.name);
}

/**
 * Null when it can take it from what it runs now. In the order in which a robot checks (P-10.2).
 */
export function unfitNow(
  offer: Offer,
  component: ComponentState,
  robot: Pick<RobotState, 'arch' | 'caps' | 'compatible' | 'modules' | 'components'>,
): Unfit | 'FAILED_BEFORE' | 'LOG_PROOF_MISSING' | null {
  const { manifest } = offer;
  const { arch } = robot;
  const running = runningRelease(component);
  const { highest_version: highest, strategy } = component;
  const hasSlots = hasSlotsFor(manifest.name, robot.caps);
  const machine = { ...machineOf(robot, offer.set), hasSlots };
  const unfit = unfitFor(manifest, { arch, running, highest, strategy, ...machine });
  if (unfit !== null && unfit !== 'TOO_OLD') return unfit;
  if (component.blocked.includes(manifest.version)) return 'FAILED_BEFORE';
  return lacksLogProof(offer, robot) ? 'LOG_PROOF_MISSING' : unfit;
}

/**
 * The rollouts that this robot will or may go through, lowest version first: each can be taken from
 * what it runs, or from one before it in the list.
 */
export function stonesFor(state: RobotState, offers: readonly Offer[]): Offer[] {
  const ordered = offers.toSorted((a, b) =>
    compareVersions(a.manifest.version, b.manifest.version),
  );
  const stones: Offer[] = [];
  for (const offer of ordered) {
    const component = componentFor(offer, state);
    if (!component) continue;
    const unfit = unfitNow(offer, component, state);
    if (unfit === null || (unfit === 'TOO_OLD' && leadTo(offer, stones))) stones.push(offer);
  }
  return stones;
}

/** True when a robot that is too old for an offer can reach it through other offers. */
export const isLedTo = (offer: Offer, beside: readonly Offer[], state: RobotState): boolean =>
  leadTo(offer, stonesFor(state, beside));

function leadTo({ manifest }: Offer, stones: readonly Offer[]): boolean {
  const { name, version, min_current_version: minimum } = manifest;
  return stones.some(
    ({ manifest: stone }) =>
      stone.name === name &&
      versionMeets(stone.version, minimum) &&
      compareVersions(stone.version, version) < 0,
  );
}
