/**
 * Decides, for a component of a set with a system image, where `active` leads at a boot. The choice
 * of the boot loader is the one commit point of such a set: `active` leads to the new release when
 * the slot with the image runs and to the former one when the slot before runs, in every phase from
 * the stop of the application on. The phase only adds what is stored. Sans-I/O.
 */

import type { RobotPhase } from '../../shared/formats/messages.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { SlotsNow } from '../boot/boot-slots.ts';
import { setFailed } from './blocks.ts';
import type { Follows } from './job-parts.ts';
import type { Job, MachineState } from './state.ts';

/**
 * - `new`: the slot with the image of the set
 * - `old`: the slot before it, with what was in it then
 * - `other`: something else, which a person or a later update brought
 * - `unknown`: the boot loader cannot be asked
 */
export const SLOT_RUNS = ['new', 'old', 'other', 'unknown'] as const;
export type SlotRuns = (typeof SLOT_RUNS)[number];

/** Release that `active` leads to; `none` when its link is gone. */
export const LEADS = ['new', 'old', 'none', 'other'] as const;
export type Leads = (typeof LEADS)[number];

export function slotRuns(follows: Follows, now: SlotsNow | null): SlotRuns {
  if (now === null) return 'unknown';
  const { running, versions } = now;
  const version = versions.get(running) ?? null;
  if (running === follows.to) return version === follows.version ? 'new' : 'other';
  return running === follows.from && version === follows.fromVersion ? 'old' : 'other';
}

type Led = Pick<Job, 'version' | 'previousVersion' | 'leftVersion'>;

export function leadsOf({ version, previousVersion, leftVersion }: Led, active: string | null) {
  if (active === version) return 'new';
  if (active === previousVersion || (active !== null && active === leftVersion)) return 'old';
  return active === null ? 'none' : 'other';
}

export interface FollowPlan {
  /** Where `active` is to lead. */
  readonly link: 'new' | 'old' | 'stays';
  /**
   * - `swapped`: the switch is stored, and the release is on probation
   * - `count`: the boot of a release on probation is counted
   * - `undone`: the set fell back, so the release goes back
   * - `none`: the agent goes on
   */
  readonly event: 'swapped' | 'count' | 'undone' | 'none';
}

const NOTHING: FollowPlan = { link: 'stays', event: 'none' };

/** The decision of `recover` at a boot, before an application starts. */
export function planFollow(on: {
  readonly phase: RobotPhase;
  readonly runs: SlotRuns;
  readonly leads: Leads;
}): FollowPlan {
  const { phase, runs, leads } = on;
  // A link that leads elsewhere is of a person; without an answer nothing is changed.
  const isLeft = runs === 'other' || runs === 'unknown' || leads === 'other';
  const link = isLeft || runs === leads ? 'stays' : runs;
  switch (phase) {
    case 'idle':
      // Confirmed by the set, and the boot loader went back by itself after that.
      return runs === 'old' && leads === 'new' ? { link: 'old', event: 'undone' } : NOTHING;
    case 'swapping':
    case 'rebooting':
      return { link, event: runs === 'new' && !isLeft ? 'swapped' : 'none' };
    case 'probation':
      return { link, event: runs === 'old' && !isLeft ? 'undone' : 'count' };
    case 'rolling_back':
    case 'reverting':
    case 'stuck':
      return { link, event: 'none' };
    default:
      return NOTHING;
  }
}

const FOLLOWS_NOW: readonly RobotPhase[] = [
  ...(['swapping', 'rebooting', 'probation'] as const),
  ...(['rolling_back', 'reverting', 'stuck'] as const),
];

/**
 * The job whose links follow an image: of the update that is under way, or of a confirmed one whose
 * former image is known by its version.
 */
export function followingJob({ phase, job, installed }: MachineState) {
  const found = phase === 'idle' ? installed : FOLLOWS_NOW.includes(phase) ? job : null;
  if (found?.follows == null) return null;
  const isKnown = phase !== 'idle' || found.follows.fromVersion !== null;
  return isKnown ? { ...found, follows: found.follows } : null;
}

/** Why a component of a set goes back whose image does not run any more. */
export function fellBack({ version, follows }: Job & { readonly follows: Follows }): Problem {
  const image = `${follows.component} ${follows.version}`;
  const why = `slot ${follows.from} runs, and not slot ${follows.to} with ${image}`;
  return setFailed(`keep ${version}: ${why}`, follows);
}
