/**
 * Decides how an update goes on that lost its ready lease before the switch: it waits again. Each
 * stop costs the robot a start of the old version, so the update is given up for a while after some
 * of them. Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { MachineState } from './state.ts';

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
