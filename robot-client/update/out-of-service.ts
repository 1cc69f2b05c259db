/**
 * Waits until a component may be stopped: the interlock is open and no other component of the robot
 * is in the middle of a swap. A robot that is busy holds no claim, since the others need not wait
 * for it; one that had to wait for the claim is asked again, since it may be busy by now.
 */

import type { Problem } from '../../shared/base/errors.ts';
import { untilReady, type ReadyInput } from '../local/until-ready.ts';
import type { SwapTurn } from './swap-turns.ts';

export interface OutOfServiceInput extends ReadyInput {
  readonly turn: SwapTurn;
  readonly kind: 'swap' | 'rollback';
}

/** @returns null when it may be stopped, and the claim is held; else why it is given up */
export async function untilOutOfService(input: OutOfServiceInput): Promise<Problem | null> {
  const { turn, kind, signal } = input;
  const onWaiting: ReadyInput['onWaiting'] = (reason, wakeAtMs) => {
    if (reason !== null && !signal.aborted) turn.release();
    input.onWaiting(reason, wakeAtMs);
  };
  for (;;) {
    const problem = await untilReady({ ...input, onWaiting });
    if (problem || turn.isHeld) return problem;
    if (!(await turn.take(kind, input))) return null;
  }
}
