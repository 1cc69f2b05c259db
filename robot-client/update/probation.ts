/**
 * Decides whether `active` still leads to the version on probation. A person may have gone back by
 * hand: then the answers of `health` concern another version, and confirm nothing. The same holds
 * for a confirmed version, while there is no update. Counts the boots of a version on probation.
 * Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { compareVersions } from '../../shared/base/version.ts';
import type { Slots } from '../install/slots.ts';
import { blockOf } from './blocks.ts';
import { isPatching } from './delta.ts';
import type { Job, MachineState } from './state.ts';

export type OnTrial =
  | { readonly kind: 'runs' }
  /** It cannot be read now: nothing is confirmed and nothing ends. */
  | { readonly kind: 'unsure' }
  /** The link or its release is gone; after one reading, a person may be about to make it again. */
  | { readonly kind: 'gone'; readonly problem: Problem }
  | { readonly kind: 'other'; readonly problem: Problem };

/** @param version on probation */
export function onTrial({ active }: Slots, version: string): OnTrial {
  switch (active.kind) {
    case 'release':
      return active.version === version
        ? { kind: 'runs' }
        : { kind: 'other', problem: takenBack(version, `active leads to ${active.version}`) };
    case 'foreign':
      return active.problem.code === 'SLOT_UNREADABLE'
        ? { kind: 'unsure' }
        : { kind: 'other', problem: takenBack(version, active.problem.message) };
    case 'lost':
      return { kind: 'gone', problem: lost(version, active.problem.message) };
    case 'absent':
      return { kind: 'gone', problem: lost(version, 'read active: the link is gone') };
  }
}

/** A person led `active` elsewhere while a version was on probation. */
export function takenBack(version: string, why: string): Problem {
  return toProblem(new DroverError('ACTIVE_CHANGED', `confirm ${version}: ${why}`));
}

/**
 * A person led `active` back to another release while there was no update. The replaced version is
 * not installed again for its rollout until a person asks for it.
 * @returns null when `active` is unchanged, or leads to something newer
 */
export function ledBack(state: MachineState, { active }: Slots, now: EpochMs): MachineState | null {
  const { phase, installed, blocked } = state;
  if (phase !== 'idle' || !installed || active.kind !== 'release') return null;
  if (compareVersions(active.version, installed.version) >= 0) return null;
  const { version } = installed;
  const message = `keep ${version}: active leads to ${active.version}`;
  const problem = toProblem(new DroverError('ACTIVE_CHANGED', message));
  return {
    ...state,
    blocked: [...blocked, blockOf(installed, problem.code)].slice(-LIMITS.blockedBundlesMax),
    ...{ installed: null, lastActive: active.version, retry: null },
    lastProblem: { ...problem, version, atMs: now },
  };
}

const lost = (version: string, why: string): Problem =>
  toProblem(new DroverError('RELEASE_LOST', `confirm ${version}: ${why}`));

/** Boots that ended in good health count no more: the others of a set may take many. */
export const wellAgain = (job: Job): Job => ({
  ...job,
  health: job.health === 'unasked' ? 'well' : 'sure',
  ...{ boots: 0, bootCounted: false },
});

/**
 * A start while a delta is applied counts. A boot during probation counts once, whether `recover`
 * or the agent notices it first.
 */
export function counted(state: MachineState, by: 'recover' | 'agent'): MachineState {
  const { job, phase } = state;
  // A person who restarts a stuck robot waits beside it, so the waits begin again.
  if (job && phase === 'stuck') return { ...state, job: { ...job, stuckCount: 0 } };
  if (job && isPatching(state) && by === 'agent') {
    return { ...state, job: { ...job, patchStarts: job.patchStarts + 1 } };
  }
  if (!job || phase !== 'probation') return state;
  const asked = { ...job, health: 'unasked' } as const;
  if (by === 'agent' && job.bootCounted) return { ...state, job: { ...asked, bootCounted: false } };
  return { ...state, job: { ...asked, boots: job.boots + 1, bootCounted: by === 'recover' } };
}
