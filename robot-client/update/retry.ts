/**
 * Decides when a failed bundle, or a stuck rollback, is tried again. The time of a bundle was
 * written by a clock that may have been wrong: robots without a battery for theirs start years in
 * the past and jump when the network is there. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { backoffMs } from '../../shared/base/backoff.ts';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { blockedForAll } from './blocks.ts';
import type { Job, MachineState } from './state.ts';

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

/** The entry after a failure of this bundle: the wait grows with each failure in a row. */
export function retryAfter(
  retry: MachineState['retry'],
  payloadSha256: Sha256Hex,
  now: EpochMs,
): NonNullable<MachineState['retry']> {
  const attempts = retry?.payloadSha256 === payloadSha256 ? retry.attempts + 1 : 1;
  const bounds = { minMs: LIMITS.retryDelayMsMin, maxMs: LIMITS.retryDelayMsMax };
  // Half way up the jitter range: the spread over a fleet comes from the failures themselves.
  const notBeforeMs = now + backoffMs(attempts - 1, bounds, 0.5);
  return { payloadSha256, attempts, notBeforeMs };
}

/** Milliseconds until a rollback that is stuck is tried again. */
export function stuckWaitMs({ stuckCount }: Pick<Job, 'stuckCount'>): number {
  const bounds = { minMs: LIMITS.stuckRetryMsMin, maxMs: LIMITS.stuckRetryMsMax };
  return backoffMs(stuckCount, bounds, 0.5);
}

/** Prefixes of codes whose hint names what to repair; that of ROLLBACK_FAILED is about links. */
const KNOWS_BETTER =
  /^(?:MODULE_|BOOT_|DISK_READ_ONLY$|PROGRAM_UNSAFE$|PATH_UNSAFE$|COMPATIBLE_WRONG$)/;

/** The problem of a way back that failed. */
export function rollbackProblem({ code, message, hint }: Problem): Problem {
  if (code === 'RELEASE_DAMAGED') return toProblem(new DroverError(code, message));
  const said = KNOWS_BETTER.test(code) ? { hint: `${code}: ${hint}` } : {};
  return toProblem(new DroverError('ROLLBACK_FAILED', message, said));
}

/** A swap that lost its ready lease before the switch. */
export interface LeaseLost {
  readonly kind: 'lease_lost';
  readonly problem: Problem;
  /** False when the lease was lost before the `stop` hook ran. */
  readonly wasStopped: boolean;
}

/** The event of a lost lease: another wait, or a rollback that ends in a later attempt. */
export function leaseFailure(
  { job }: MachineState,
  { problem, wasStopped }: Omit<LeaseLost, 'kind'>,
): LeaseLost | { readonly kind: 'swap_failed'; readonly problem: Problem } {
  const stops = (job?.leaseLosses ?? 0) + 1;
  // A rollback starts the old version: that must not happen to one that still runs.
  if (wasStopped && stops >= LIMITS.leaseStopsMax) return { kind: 'swap_failed', problem };
  return { kind: 'lease_lost', problem, wasStopped };
}

export function withLoss(state: MachineState, { wasStopped }: LeaseLost): MachineState {
  const { job } = state;
  if (!job || !wasStopped) return state;
  return { ...state, job: { ...job, leaseLosses: job.leaseLosses + 1 } };
}

/** The part of a job that an event `ready` fills in. */
export const reliedOn = ({ holders = [] }: { readonly holders?: readonly string[] }) => ({
  leaseHolders: [...holders],
});
