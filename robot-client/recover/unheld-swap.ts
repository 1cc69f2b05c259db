/**
 * Undoes, at a boot, a swap that relied on a ready lease and did not switch yet. A restart ends
 * such a lease: the old version boots, and the agent waits for another one.
 */

import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { leaseLost } from '../local/ready-lease.ts';
import type { ApplyStrategy } from '../update/apply-strategy.ts';
import type { EffectContext } from '../update/effect-context.ts';
import { hasSwitched, undoSwitch } from '../update/lease-guard.ts';
import { leaseFailure } from '../update/lease-loss.ts';
import type { MachineEvent } from '../update/machine.ts';
import type { MachineState } from '../update/state.ts';

/**
 * @returns null when the swap may be finished
 * @throws DroverError MODULE_… when the strategy cannot undo it now
 */
export async function undoUnheld(
  state: MachineState,
  strategy: ApplyStrategy,
  on: Pick<EffectContext, 'disk' | 'layout'>,
): Promise<MachineEvent | null> {
  const { job } = state;
  if (!job || job.leaseHolders.length === 0) return null;
  const { active } = await readSlots(on.disk, on.layout);
  if (versionOf(active) === job.version || (await hasSwitched(strategy, job))) return null;
  await undoSwitch(on, strategy, job);
  const why = 'not finished, since the machine was started again, which ends the ready lease';
  return leaseFailure(state, {
    problem: leaseLost(`swap to ${job.version}`, why),
    wasStopped: true,
  });
}
