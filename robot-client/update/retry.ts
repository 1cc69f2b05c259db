/**
 * Decides when a bundle that failed may be tried again. The instant was written by a clock that may
 * have been wrong: robots without a battery for theirs start years in the past and jump when the
 * network is there. Sans-I/O.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { blockedForAll } from './blocks.ts';
import type { MachineState } from './state.ts';

/**
 * The state after a person asked for a retry, also of a version that was taken back. Null when
 * nothing waits.
 */
export function retriedNow(state: MachineState): MachineState | null {
  const { retry, blocked } = state;
  const left = blockedForAll(blocked);
  if (retry === null && left.length === blocked.length) return null;
  return { ...state, blocked: left, retry: retry && { ...retry, notBeforeMs: 0 } };
}

/**
 * @returns milliseconds until this bundle may be tried again, 0 for at once. Never more than
 *   `retryDelayMsMax`: for a longer wait the clock was set back since
 */
export function retryWaitMs(
  retry: MachineState['retry'],
  payloadSha256: string,
  now: EpochMs,
): number {
  if (retry === null || retry.payloadSha256 !== payloadSha256) return 0;
  const leftMs = retry.notBeforeMs - now;
  return leftMs > 0 && leftMs <= LIMITS.retryDelayMsMax ? leftMs : 0;
}
