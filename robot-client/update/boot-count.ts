/** Counts the boots and the starts of an update that has not been confirmed. Sans-I/O. */

import type { Job, MachineState } from './state.ts';

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
  // Whoever turned a stuck robot off and on is there, and waits.
  if (job && phase === 'stuck') return { ...state, job: { ...job, stuckCount: 0 } };
  if (job?.delta && phase === 'verifying' && by === 'agent') {
    return { ...state, job: { ...job, patchStarts: job.patchStarts + 1 } };
  }
  if (!job || phase !== 'probation') return state;
  const asked = { ...job, health: 'unasked' } as const;
  if (by === 'agent' && job.bootCounted) return { ...state, job: { ...asked, bootCounted: false } };
  return { ...state, job: { ...asked, boots: job.boots + 1, bootCounted: by === 'recover' } };
}
