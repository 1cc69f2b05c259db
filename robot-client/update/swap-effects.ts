/**
 * The effects that take a component out of service: swap, probation and rollback. A strategy brings
 * the release into effect first, and then `active` is set to it, so `active` never names a release
 * that does not run yet. Each effect may be interrupted at any time, and runs again from its start.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../shared/base/backoff.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { noteConfirmed } from '../install/marks.ts';
import type { HookResult } from '../install/hooks.ts';
import { readSlots } from '../install/read-slots.ts';
import { damageProblem } from '../install/seal.ts';
import { checkRelease } from '../install/seal-check.ts';
import { assertOwnSlots, versionOf } from '../install/slots.ts';
import { ALWAYS_OPEN, type InterlockRules } from '../local/interlock.ts';
import { assertStaged } from './assert-swappable.ts';
import { BY_LINK_ALONE, type ApplyStrategy } from './apply-strategy.ts';
import { strategyOf } from './slot-strategy.ts';
import { startAndProbe, type Outcome } from './confirm.ts';
import { momentOf, type EffectContext } from './effect-context.ts';
import { hookOf, hookTimeoutOf, startAgain, stopBefore, stopOrHold } from './hook-calls.ts';
import { rollbackFailure, type MachineEvent } from './machine.ts';
import { healthTimeOf, onTrial } from './probation.ts';
import { endSwapByReboot, slotsOfReturn } from './slot-effects.ts';
import {
  hasSwitched,
  leftBy,
  standDown,
  stopWhileHeld,
  whileHeld,
  type LeaseLoss,
} from './lease-guard.ts';
import { rollbackProblem } from './retry.ts';
import { assertImageRuns, isFollowing, isParkedBack, untilImageIsBack } from './follow-effects.ts';
import type { Follows } from './job-parts.ts';
import { selfFailure, trialMs } from './self-trial.ts';
import { failedOf, knownDamages, type Job } from './state.ts';
import { swapBack, swapTo } from './swap.ts';
import { SwapClaims, type SwapClaim } from './swap-claims.ts';
import { returnFrom } from './way-back.ts';
import { untilReady, type ReadyInput } from '../local/until-ready.ts';

/** Codes that are more exact than SWAP_FAILED. */
const SAYS_ENOUGH =
  /^(?:RELEASE_DAMAGED|COMPATIBLE_WRONG|PROGRAM_UNSAFE|PATH_UNSAFE|MODULE_|BOOT_)/;

/**
 * Asks whether the component may be stopped, and waits for it.
 * @returns null when it may be stopped
 */
export async function ready(
  job: Pick<Job, 'version' | 'previousVersion'> & Partial<Pick<Job, 'set'>>,
  on: EffectContext,
  asked: { what: string; isUrgent: boolean; kind: 'swap' | 'rollback' },
): Promise<Problem | null> {
  return await untilOutOfService({
    ...asked,
    claim: on.claim ?? new SwapClaims().of(on.component),
    set: job.set?.id ?? null,
    ignoresWindows: asked.isUrgent,
    rules: on.interlock ?? ALWAYS_OPEN,
    signal: on.signal,
    now: () => on.now(),
    said: () => on.readySaid(),
    askHook: () => hookOf(job, on, 'ready'),
    onWaiting: (reason, wakeAtMs) => on.onWaiting(reason, wakeAtMs),
  });
}

export async function swap(job: Job, isAgain: boolean, on: EffectContext): Promise<MachineEvent> {
  try {
    const slots = await readSlots(on.disk, on.layout);
    const isDone = versionOf(slots.active) === job.version;
    if (!isDone) assertOwnSlots(slots);
    const strategy = await strategyOf(job, on);
    // Asked in `waiting` too; after a power cut the disk may be in another machine.
    await strategy.prepare(job, strategy.byReboot ? job.version : null);
    const lost = isDone ? null : await stopForSwap(job, { isAgain, strategy }, on);
    // The others of a set with an image are down already: all of them start again, and try later.
    if (lost && job.set?.image !== undefined) {
      return { kind: 'swap_failed', problem: lost.problem };
    }
    if (lost) return await standDown(job, { ...lost, isAgain, strategy }, on);
    if (isFollowing(job)) return { kind: 'reboot_due', slots: null };
    if (strategy.byReboot) return await endSwapByReboot(job, on);
    await strategy.switchTo(job);
    await swapTo(on.disk, on.layout, job);
    return { kind: 'swapped', at: momentOf(on) };
  } catch (thrown) {
    on.signal.throwIfAborted();
    const cause = toProblem(thrown);
    if (SAYS_ENOUGH.test(cause.code)) return { kind: 'swap_failed', problem: cause };
    const { code, message, hint } = cause;
    // The hint of a full disk, or of a hook, says more than the one about any disk.
    const said = code === 'INTERNAL' ? {} : { hint };
    const failure = new DroverError('SWAP_FAILED', `swap to ${job.version}: ${message}`, said);
    return { kind: 'swap_failed', problem: toProblem(failure) };
  }
}

/** Stops what runs and checks what is to run, under the leases of the job. */
async function stopForSwap(
  job: Job,
  { isAgain, strategy }: { readonly isAgain: boolean; readonly strategy: ApplyStrategy },
  on: EffectContext,
): Promise<LeaseLoss | null> {
  const { leaseHolders: holders, version } = job;
  const relied = { holders, what: `swap to ${version}` };
  const isSwitched = isAgain && holders.length > 0 && (await hasSwitched(strategy, job));
  return await stopWhileHeld(on, { ...relied, isSwitched }, async () => {
    const leaves = leftBy(job);
    // A machine always runs some system, also before the first image of this agent.
    if (leaves !== null || strategy.byReboot) await stopBefore(job, on, leaves);
    await assertStaged(on.disk, on.layout, { version, mayHash: () => false });
  });
}

export async function probe(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { strategy, outcome } = await probeFrom('start', job, on);
  if (outcome.kind !== 'healthy') return outcome;
  return job.set === null ? await confirm(job, on, strategy) : { kind: 'well' };
}

/**
 * A healthy component of a set waits for the others, is asked once more when all are switched, and
 * confirms when all are sure.
 */
export async function awaitSet(job: Job, on: EffectContext): Promise<MachineEvent> {
  await on.set?.untilMayGo(on);
  if (job.health === 'sure') return await confirm(job, on, await strategyOf(job, on));
  const { outcome } = await probeFrom('health', job, on);
  return outcome.kind === 'healthy' ? { kind: 'well' } : outcome;
}

async function confirm(
  job: Job,
  on: EffectContext,
  strategy: ApplyStrategy,
): Promise<MachineEvent> {
  const unconfirmed = await stepProblem(on, () => strategy.confirm(job));
  if (unconfirmed) return { kind: 'unhealthy', problem: unconfirmed };
  await noteConfirmed(on.disk, on.layout, job.version);
  return { kind: 'healthy' };
}

/** @param from `health` for a version that was started before */
async function probeFrom(
  from: 'start' | 'health',
  job: Job,
  on: EffectContext,
): Promise<{ readonly strategy: ApplyStrategy; readonly outcome: Outcome }> {
  let strategy: ApplyStrategy = BY_LINK_ALONE;
  // A person may have changed the robot since the swap: the version on probation has to run.
  let isProven = false;
  const unsettled = await stepProblem(on, async () => {
    strategy = await strategyOf(job, on);
    await assertImageRuns(job, on);
    await strategy.resume(job);
    isProven = (await strategy.isProven?.(job)) ?? false;
  });
  if (unsettled) return { strategy, outcome: { kind: 'unhealthy', problem: unsettled } };
  if (isProven) return { strategy, outcome: { kind: 'healthy' } };
  const health = async (held: EffectContext, timeoutMs: number): Promise<HookResult> => {
    const verified = await strategy.verify(job, timeoutMs);
    if (verified.kind !== 'ok' && verified.kind !== 'absent') {
      return { ...verified, output: `verify of ${job.strategy}: ${verified.output}` };
    }
    const asked = await hookOf(job, held, 'health', job.version, timeoutMs);
    return asked.kind === 'absent' ? verified : asked;
  };
  const found = await whileHeld(job, on, (held) =>
    startAndProbe({
      version: job.version,
      strategy: job.strategy,
      healthTimeoutMs: trialMs({ ...job, healthTimeoutMs: healthTimeOf(job, momentOf(on)) }, on),
      healthIntervalMs: on.healthIntervalMs ?? LIMITS.healthIntervalMs,
      hookTimeoutMs: hookTimeoutOf(on),
      signal: held.signal,
      confirmed: on.confirmed,
      readSlot: async () => onTrial(await readSlots(on.disk, on.layout), job.version),
      runHook: async (name, timeoutMs) => {
        if (name === 'health') return await health(held, timeoutMs);
        if (from === 'health') return { kind: 'absent' };
        return await hookOf(job, held, name, job.version, timeoutMs);
      },
    }),
  );
  if (found.kind === 'healthy') return { strategy, outcome: await wholeOr(job, on) };
  const problem = found.kind === 'lost' ? found.problem : selfFailure(found.problem, job, on);
  return { strategy, outcome: { kind: 'unhealthy', problem } };
}

/**
 * A version that lost a program on trial, or all of its files, is not confirmed: what answers
 * `health` runs from memory, and would not start again. Its other files may be the application's
 * own. Damage is looked for twice: a program may be replaced at this very moment.
 */
async function wholeOr(job: Job, on: EffectContext): Promise<Outcome> {
  if ((await damageOnTrial(job, on)) === null) return { kind: 'healthy' };
  await sleep(on.healthIntervalMs ?? LIMITS.healthIntervalMs, undefined, { signal: on.signal });
  const problem = await damageOnTrial(job, on);
  return problem ? { kind: 'unhealthy', problem } : { kind: 'healthy' };
}

/** Null also for what runs without a release of its own, as in a slot. */
async function damageOnTrial({ version }: Job, on: EffectContext): Promise<Problem | null> {
  const { active } = await readSlots(on.disk, on.layout);
  if (active.kind !== 'release' || active.version !== version) return null;
  const look = { version, tree: active.end.path, mayHash: () => false, isOnTrial: true };
  const known = knownDamages(on.state(), version);
  const check = await checkRelease(on.disk, on.layout, { ...look, known });
  if (check.kind === 'absent') return damageProblem(version, { path: '.', why: 'it is gone' });
  return check.kind === 'damaged' ? damageProblem(version, check) : null;
}

/** Runs a step. @returns null when the step did not fail */
export async function stepProblem(
  on: EffectContext,
  run: () => Promise<void>,
): Promise<Problem | null> {
  try {
    await run();
    return null;
  } catch (thrown) {
    on.signal.throwIfAborted();
    return toProblem(thrown);
  }
}

export async function rollBack(job: Job, inMs: number, on: EffectContext): Promise<MachineEvent> {
  if (inMs > 0) await sleep(inMs, undefined, { signal: on.signal });
  try {
    const active = versionOf((await readSlots(on.disk, on.layout)).active);
    const strategy = await strategyOf(job, on);
    let prepared: { readonly to: string | null } | null = null;
    // Before the application is stopped: a module that is gone could not bring anything back. A
    // release that was hashed is not hashed again, since the robot said by now that it is ready.
    const wayBack = async (): Promise<string | null> => {
      const to = await returnFrom(on.disk, on.layout, {
        job,
        active,
        failed: failedOf(on.state()),
      });
      if (prepared?.to !== to) await strategy.prepare(job, to);
      prepared = { to };
      return to;
    };
    let to = await wayBack();
    // A recall takes a working version back, so the robot may be in the middle of a task.
    const wasConfirmed = on.state().installed?.rollout === job.rollout;
    const isRecall = job.cause?.code === 'ROLLOUT_RECALLED' || (wasConfirmed && job.set !== null);
    const isTakenBack = isRecall && active === job.version;
    await on.set?.untilLaterAreBack(job, { ...on, isPatient: isRecall });
    if (isTakenBack) {
      to = await stopForRecall(job, wayBack, on);
    } else {
      // The wait may have been long, so the way back is read again: nothing was stopped yet.
      const hasWaited = await on.claim?.take('rollback', on, job.set?.id);
      if (hasWaited || job.set) to = await wayBack();
      if (active === job.version) await stopOrHold(job, on);
    }
    if (strategy.byReboot && to !== job.version) {
      return { kind: 'reboot_due', slots: await slotsOfReturn(job, on) };
    }
    await strategy.revert(job, to);
    if (await isParkedBack(job, on, () => startFormer(job, to, on))) {
      return { kind: 'reboot_due', slots: null };
    }
    return await endRollback(job, to, on);
  } catch (thrown) {
    on.signal.throwIfAborted();
    return rollbackFailure(on.state(), rollbackProblem(toProblem(thrown)));
  }
}

/** Leads `active` to the former release, and starts it. */
async function startFormer(job: Job, to: string | null, on: EffectContext): Promise<void> {
  await swapBack(on.disk, on.layout, { ...job, previous: to });
  if (to !== null) await startAgain(job, on, to, 'ROLLBACK_FAILED');
}

async function endRollback(job: Job, to: string | null, on: EffectContext): Promise<MachineEvent> {
  await startFormer(job, to, on);
  await hookOf(job, on, 'rolled-back', to ?? '');
  return { kind: 'rolled_back', to };
}

/**
 * Phase `reverting` of a component that follows a system image: it ends its way back when the image
 * is back. An image that stays is left alone then, and reports why.
 */
export async function endWayBack(
  job: Job & { readonly follows: Follows },
  inMs: number,
  on: EffectContext,
): Promise<MachineEvent> {
  if (inMs > 0) await sleep(inMs, undefined, { signal: on.signal });
  try {
    await untilImageIsBack(job, on);
    const active = versionOf((await readSlots(on.disk, on.layout)).active);
    const failed = failedOf(on.state());
    const to = await returnFrom(on.disk, on.layout, { job, active, failed });
    if (active === job.version) await stopOrHold(job, on);
    return await endRollback(job, to, on);
  } catch (thrown) {
    on.signal.throwIfAborted();
    return rollbackFailure(on.state(), rollbackProblem(toProblem(thrown)));
  }
}

/**
 * Stops a recalled version when the robot is ready, and while its leases hold. One that is lost in
 * the middle starts the version again, and the robot is asked again after a wait.
 * @returns the way back, read after the last wait
 */
async function stopForRecall(
  job: Job,
  wayBack: () => Promise<string | null>,
  on: EffectContext,
): Promise<string | null> {
  const what = `go back from ${job.version}`;
  const asking = { ...on, interlock: patient(on.interlock ?? ALWAYS_OPEN) };
  // Each of these stops takes a working application away for nothing.
  const bounds = { minMs: asking.interlock.readyIntervalMs, maxMs: LIMITS.retryDelayMsMax };
  for (let nth = 0; ; nth += 1) {
    await ready(job, asking, { what, isUrgent: true, kind: 'rollback' });
    const holders = on.leases?.holders ?? [];
    await on.claim?.take('rollback', on);
    const to = await wayBack();
    const lost = await stopWhileHeld(on, { holders, what }, () => stopOrHold(job, on));
    if (lost === null) return to;
    if (lost.wasStopped) await hookOf(job, on, 'start', job.version);
    on.claim?.release();
    const waitMs = backoffMs(nth, bounds, 0.5);
    on.onWaiting(`${lost.problem.message} (${lost.problem.code})`, on.now() + waitMs);
    await sleep(waitMs, undefined, { signal: on.signal });
  }
}

/** A recalled version has to go, so there is no deadline for the robot to become ready. */
const patient = (rules: InterlockRules): InterlockRules => ({ ...rules, readyDeadlineMs: null });

interface OutOfServiceInput extends ReadyInput {
  readonly claim: SwapClaim;
  readonly set: string | null;
  readonly kind: 'swap' | 'rollback';
}

/**
 * Waits until a component may be stopped: the interlock is open and no other component of the robot
 * is in the middle of a swap. A busy robot holds no claim, since the others need not wait for it;
 * one that had to wait for the claim is asked again, since it may be busy by now.
 * @returns null when it may be stopped, and the claim is held; else why it is given up
 */
async function untilOutOfService(input: OutOfServiceInput): Promise<Problem | null> {
  const { claim, kind, signal } = input;
  const onWaiting: ReadyInput['onWaiting'] = (reason, wakeAtMs) => {
    if (reason !== null && !signal.aborted) claim.release();
    input.onWaiting(reason, wakeAtMs);
  };
  for (;;) {
    const problem = await untilReady({ ...input, onWaiting });
    if (problem || claim.isHeld) return problem;
    if (!(await claim.take(kind, input, input.set))) return null;
  }
}
