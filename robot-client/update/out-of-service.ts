/**
 * Waits until a component may be stopped: the interlock is open and no other component of the robot
 * is in the middle of a swap. A busy robot holds no claim, since the others need not wait for it;
 * one that had to wait for the claim is asked again, since it may be busy by now.
 */

import type { Problem } from '../../shared/base/errors.ts';
import { untilReady, type ReadyInput } from '../local/until-ready.ts';
import type { SwapClaim } from './swap-claims.ts';

export interface OutOfServiceInput extends ReadyInput {
  readonly claim: SwapClaim;
  readonly kind: 'swap' | 'rollback';
}

/** @returns null when it may be stopped, and the claim is held; else why it is given up */
export async function untilOutOfService(input: OutOfServiceInput): Promise<Problem | null> {
  const { claim, kind, signal } = input;
  const onWaiting: ReadyInput['onWaiting'] = (reason, wakeAtMs) => {
    if (reason !== null && !signal.aborted) claim.release();
    input.onWaiting(reason, wakeAtMs);
  };
  for (;;) {
    const problem = await untilReady({ ...input, onWaiting });
    if (problem || claim.isHeld) return problem;
    if (!(await claim.take(kind, input))) return null;
  }
}
