/**
 * Holds an update to the ready leases that it relies on: the one place through which every strategy
 * honours them. `decideLease` decides; this asks it before and after a stop, undoes a switch that
 * an agent left unfinished, and watches a probation.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { nullIfFailed, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ALWAYS_OPEN } from '../local/interlock.ts';
import { decideLease, leaseLost, type Leases } from '../local/ready-lease.ts';
import { removeSameRollback } from './swap.ts';
import type { ApplyStrategy } from './apply-strategy.ts';
import type { EffectContext } from './effect-context.ts';
import { noteStopped, startAgain } from './hook-calls.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { leaseFailure } from './retry.ts';
import type { MachineEvent } from './machine.ts';
import type { Job, MachineState } from './state.ts';

type LeaseContext = Pick<EffectContext, 'leases' | 'interlock'>;

interface Relied {
  readonly holders: readonly string[];
  /** For the report: `swap to 1.2.0`. */
  readonly what: string;
  readonly isSwitched?: boolean;
}

/** Why an update must not go on; null when it may. */
export function leaseLossOf(
  { leases, interlock = ALWAYS_OPEN }: LeaseContext,
  { holders, what, isSwitched = false }: Relied,
): Problem | null {
  const decision = decideLease({
    ...{ holders, isSwitched, afterSwitch: interlock.leaseLostAfterSwitch },
    answers: leases?.answers ?? new Map(),
    nowMs: leases?.mono() ?? 0,
  });
  return decision.kind === 'goOn' ? null : leaseLost(what, decision.reason);
}

export interface LeaseLoss {
  readonly problem: Problem;
  readonly wasStopped: boolean;
}

/**
 * Stops the version that runs, unless its lease is lost before.
 * @returns null when the lease still holds after the stop
 * @throws as `stop`
 */
export async function stopWhileHeld(
  on: LeaseContext,
  relied: Relied,
  stop: () => Promise<void>,
): Promise<LeaseLoss | null> {
  const before = leaseLossOf(on, relied);
  if (before) return { problem: before, wasStopped: false };
  await stop();
  const after = leaseLossOf(on, relied);
  return after && { problem: after, wasStopped: true };
}

type Switched = Pick<Job, 'version' | 'previousVersion' | 'leftVersion'>;

/** Version that `active` leads to until the switch; null for none. */
export const leftBy = ({ leftVersion, previousVersion }: Switched): string | null =>
  leftVersion ?? previousVersion;

/**
 * True when the strategy reports that the new version runs although `active` does not lead to it
 * yet: there is nothing left that a lease could stop.
 */
export async function hasSwitched(strategy: ApplyStrategy, job: Switched): Promise<boolean> {
  const said = await strategy.said(job);
  return said.kind === 'version' && said.version === job.version;
}

/**
 * Undoes a switch that may have begun before a restart. `active` leads to the old version.
 * Idempotent.
 */
export async function undoSwitch(
  { disk, layout }: Pick<EffectContext, 'disk' | 'layout'>,
  strategy: ApplyStrategy,
  job: Switched,
): Promise<void> {
  const to = leftBy(job);
  await strategy.prepare(job, to);
  await strategy.revert(job, to);
  await removeSameRollback(disk, layout);
}

/**
 * Undoes, at a boot, a swap that relied on a ready lease and did not switch yet: a restart ends
 * such a lease, so the old version boots, and the agent waits for another one.
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
  // The stop may have run: a person who runs `recover` boots nothing that would start it again.
  const left = leftBy(job);
  if (left !== null) await nullIfFailed(noteStopped(on.disk, on.layout, left));
  await undoSwitch(on, strategy, job);
  const why = 'not finished: its ready lease ended with the agent';
  return leaseFailure(state, {
    problem: leaseLost(`swap to ${job.version}`, why),
    wasStopped: true,
  });
}

/**
 * The old version goes on. After a restart it may have been stopped, or be half replaced, so a
 * switch that may have begun is undone.
 * @throws DroverError SWAP_FAILED when the version that was stopped does not start again
 */
export async function standDown(
  job: Job,
  lost: LeaseLoss & { readonly isAgain: boolean; readonly strategy: ApplyStrategy },
  on: EffectContext,
): Promise<MachineEvent> {
  const { problem, isAgain, strategy } = lost;
  if (isAgain) await undoSwitch(on, strategy, job);
  const wasStopped = lost.wasStopped || isAgain;
  const event = leaseFailure(on.state(), { problem, wasStopped });
  const leaves = leftBy(job);
  if (event.kind === 'lease_lost' && wasStopped && leaves !== null) {
    await startAgain(job, on, leaves, 'SWAP_FAILED');
  }
  return event;
}

/**
 * Runs a part of probation until it ends, or until a lease is lost that the site wants to go back
 * for.
 * @returns the result; a problem when the lease was lost
 */
export async function whileHeld<T>(
  job: Pick<Job, 'version' | 'leaseHolders' | 'slotTrial'>,
  on: EffectContext,
  run: (on: EffectContext) => Promise<T>,
): Promise<T | { readonly kind: 'lost'; readonly problem: Problem }> {
  const { interlock = ALWAYS_OPEN, leases, signal } = on;
  const isWatched = leases && interlock.leaseLostAfterSwitch === 'back';
  if (!isWatched || job.leaseHolders.length === 0) return await run(on);
  const [lost, ended] = [new AbortController(), new AbortController()];
  let problem: Problem | null = null;
  const watch = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const relied = { holders: countedIn(job, leases), what: `keep ${job.version}` };
      problem = leaseLossOf(on, { ...relied, isSwitched: true });
      if (problem) return lost.abort(new Error('the ready lease was lost'));
      await sleep(LIMITS.leaseLookMs, undefined, { signal: ended.signal });
    }
  };
  const watching = watch().catch(() => undefined); // rejects only when it is ended
  try {
    return await run({ ...on, signal: AbortSignal.any([signal, lost.signal]) });
  } catch (thrown) {
    signal.throwIfAborted();
    if (problem === null) throw thrown;
    return { kind: 'lost', problem };
  } finally {
    ended.abort();
    await watching;
  }
}

/**
 * Holders that count in probation. A switch by a reboot ends the memory of every lease, so a holder
 * counts from its first answer after it.
 */
const countedIn = (
  { leaseHolders, slotTrial }: Pick<Job, 'leaseHolders' | 'slotTrial'>,
  { answers }: Pick<Leases, 'answers'>,
): readonly string[] =>
  slotTrial === null ? leaseHolders : leaseHolders.filter((holder) => answers.has(holder));
