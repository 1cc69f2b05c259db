/**
 * Carries out each effect of the machine and returns the event that came of it. No decision is
 * taken here that the machine could take: an effect ends in exactly one event.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import type { PatchProgram } from '../../shared/base/ports.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import {
  newKeptFolder,
  newRecipeFile,
  payloadFile,
  stagingFolder,
  tarFile,
  treeFolder,
  type Layout,
} from '../install/layout.ts';
import { payloadFailure, rollbackFailure, type Effect, type MachineEvent } from './machine.ts';
import type { Disk } from '../install/disk-port.ts';
import { assertOwnSlots, versionOf } from '../install/slots.ts';
import { failedOf, jobBytes, type Job, type MachineState } from './state.ts';
import { ALWAYS_OPEN, type InterlockRules } from '../local/interlock.ts';
import { assertStaged, assertSwappable } from './assert-swappable.ts';
import { cleanUp, type Cleaned } from './clean-up.ts';
import { startAndProbe } from './confirm.ts';
import { describeHook } from '../install/hooks.ts';
import { downloadPayload, type DownloadInput, type PullLink } from './download.ts';
import { noteConfirmed } from '../install/confirmed-mark.ts';
import { runHook, type HookName, type HookResult } from '../install/hooks.ts';
import { admitKept } from '../install/kept-files.ts';
import { assertOneFilesystem } from '../install/one-filesystem.ts';
import { patchTar } from './patch.ts';
import { onTrial } from './probation.ts';
import { releasePatchRoom, releaseRoom, reserveRoom } from './room.ts';
import { chooseRoute, openBase } from './route.ts';
import { writeSeal } from '../install/seal-file.ts';
import { stageArchive } from './stage.ts';
import { readSlots } from '../install/read-slots.ts';
import { admitRelease, assertAdmissible, removePatches, swapBack, swapTo } from './swap.ts';
import { untilOutOfService } from './out-of-service.ts';
import { SwapClaims, type SwapClaim } from './swap-claims.ts';
import { verifyPayload } from './verify.ts';
import { returnFrom, wayBackFrom } from './way-back.ts';

export interface EffectContext {
  readonly component: string;
  readonly layout: Layout;
  readonly disk: Disk;
  readonly link: PullLink;
  readonly trust: TrustRoot;
  /** Null on a robot without one: it takes full payloads. */
  readonly patchProgram?: PatchProgram | null | undefined;
  readonly hooksFolder: string;
  readonly bytesPerSecondMax: number | null;
  /** One run of a hook; `hookTimeoutMsDefault` when it is left out. */
  readonly hookTimeoutMs?: number | undefined;
  /** Between two health probes; `healthIntervalMs` when it is left out. */
  readonly healthIntervalMs?: number | undefined;
  /** `ALWAYS_OPEN` when it is left out. */
  readonly interlock?: InterlockRules | undefined;
  /** The claim among the components of this robot; left out where there is one. */
  readonly claim?: SwapClaim | undefined;
  readonly signal: AbortSignal;
  now(): EpochMs;
  /** The machine's state as it is now. */
  state(): MachineState;
  onProgress: DownloadInput['onProgress'];
  onCleaned?(found: Cleaned): void;
  /** Null when nothing is waited for. */
  onWaiting(reason: string | null, wakeAtMs: number | null): void;
  /** The application's last POST /ready; null without one. */
  readySaid(): { ready: boolean; reason: string } | null;
  /** Resolves when the application confirms on the local socket. */
  readonly confirmed: Promise<void>;
}

/** @returns the event the effect ended in; null for `cleanUp`, which ends in none */
export async function runEffect(effect: Effect, on: EffectContext): Promise<MachineEvent | null> {
  switch (effect.kind) {
    case 'check':
      return orRefused(on, () => check(effect.job, on));
    case 'download':
      return orRefused(on, () => orWithoutDelta(effect.job, on, () => download(effect.job, on)));
    case 'verify':
      return effect.job.delta
        ? orRefused(on, () => orWithoutDelta(effect.job, on, () => patch(effect.job, on)))
        : verify(effect.job, on);
    case 'stage':
      return orRefused(on, () => orWithoutDelta(effect.job, on, () => stage(effect.job, on)));
    case 'askReady':
      return orRefused(on, () => askReady(effect.job, on));
    case 'swap':
      return swap(effect.job, on);
    case 'probe':
      return probe(effect.job, on);
    case 'rollBack':
      return rollBack(effect.job, effect.inMs, on);
    case 'waitStuck':
      on.onWaiting('another try at the rollback', on.now() + effect.inMs);
      await sleep(effect.inMs, undefined, { signal: on.signal });
      return { kind: 'retried' };
    case 'cleanUp':
      await cleanUp(on);
      return null;
  }
}

async function orRefused(
  on: EffectContext,
  run: () => Promise<MachineEvent>,
): Promise<MachineEvent> {
  try {
    return await run();
  } catch (thrown) {
    on.signal.throwIfAborted();
    return { kind: 'refused', problem: toProblem(thrown) };
  }
}

/** Whatever goes wrong with a delta, the full payload is still available. */
async function orWithoutDelta(
  job: Job,
  on: EffectContext,
  run: () => Promise<MachineEvent>,
): Promise<MachineEvent> {
  try {
    return await run();
  } catch (thrown) {
    on.signal.throwIfAborted();
    if (!job.delta) throw thrown;
    return { kind: 'delta_failed', problem: toProblem(thrown) };
  }
}

async function check(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, layout, signal } = on;
  await assertAdmissible(disk, layout, job.version);
  await assertOneFilesystem(disk, layout);
  await assertSwappable(disk, layout);
  const choice = await chooseRoute({ disk, layout, job, signal });
  if (choice.kind === 'route') return { kind: 'fits', delta: choice.delta };
  return { kind: 'delta_failed', problem: choice.problem };
}

async function download(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, link, signal, bytesPerSecondMax, onProgress } = on;
  const folder = stagingFolder(on.layout, job.payloadSha256);
  const reserve = (): Promise<void> =>
    reserveRoom({ disk, layout: on.layout, job, failed: failedOf(on.state()) });
  const rate = { bytesPerSecondMax };
  const told = { reserve, onProgress, ...stallTeller(on) };
  // Removes what a failed delta left behind: the full payload may need the room.
  if (!job.delta) await removePatches(disk, folder);
  await downloadPayload({ job, folder, disk, link, signal, ...told, ...rate });
  return { kind: 'downloaded' };
}

/** Reports why a download stalls: when that begins, changes and ends, not for each chunk. */
function stallTeller(on: EffectContext): Required<Pick<DownloadInput, 'onMissing' | 'onSlow'>> {
  let missing: string | null = null;
  let slow: string | null = null;
  let told: string | null = null;
  const tell = (): void => {
    const reason = missing ?? slow;
    if (reason === told) return;
    told = reason;
    on.onWaiting(reason, null);
  };
  return {
    onMissing: (chunks) => {
      missing = chunks === 0 ? null : `${chunks} chunks that the broker does not send`;
      tell();
    },
    onSlow: (problem) => {
      slow = problem && `${problem.message} (${problem.code})`;
      tell();
    },
  };
}

async function verify(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, trust, signal } = on;
  const payloadPath = payloadFile(stagingFolder(on.layout, job.payloadSha256));
  try {
    await verifyPayload({ disk, payloadPath, job, trust, signal });
    return { kind: 'intact' };
  } catch (thrown) {
    signal.throwIfAborted();
    return payloadFailure(on.state(), toProblem(thrown));
  }
}

/** The delta's counterpart of `verify`: what comes out is what the release key signed. */
async function patch(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, layout, signal, trust, patchProgram: program } = on;
  const { delta } = job;
  if (!delta || !program) throw new DroverError('ZSTD_MISSING', `patch ${job.version}: no zstd`);
  verifyBundle({ ...jobBytes(job), trust });
  const base = await openBase(disk, layout, delta);
  if (!base) {
    throw new DroverError('DELTA_BASE_CHANGED', `patch ${delta.fromVersion}: its recipe is gone`);
  }
  const folder = stagingFolder(layout, job.payloadSha256);
  await releasePatchRoom({ disk, layout, job });
  try {
    await patchTar({ disk, folder, delta, base, program, signal });
  } finally {
    await base.close();
  }
  return { kind: 'intact' };
}

async function stage(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, layout, signal } = on;
  const [{ version }, folder] = [job, stagingFolder(layout, job.payloadSha256)];
  const [tree, recipePath] = [treeFolder(folder), newRecipeFile(folder)];
  const kept = newKeptFolder(folder);
  await releaseRoom({ disk, layout, job });
  const { isBase } = await stageArchive({
    disk,
    payloadPath: job.delta ? tarFile(folder) : payloadFile(folder),
    packing: job.delta ? 'plain' : 'gzip',
    recipePath,
    keptFolder: kept,
    intoFolder: tree,
    packedBytes: job.payloadBytes,
    signal,
  });
  await assertAdmissible(disk, layout, version);
  await writeSeal(disk, layout, { version, tree, signal });
  await admitRelease(disk, layout, { tree, version, recipe: isBase ? recipePath : null });
  await admitKept(disk, kept, { layout, version });
  return { kind: 'staged' };
}

async function askReady(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, layout, signal } = on;
  const { version, emergency: isUrgent } = job;
  for (let isHashed = false; ; isHashed = true) {
    const problem = await ready(job, on, { what: `swap to ${version}`, isUrgent, kind: 'swap' });
    if (problem) return { kind: 'refused', problem };
    const sinceMs = performance.now();
    const lookedMs = (): number => performance.now() - sinceMs;
    const mayHash = (): boolean => !isHashed && !signal.aborted && lookedMs() < LIMITS.stagedHashMs;
    await assertStaged(disk, layout, { version, mayHash });
    if (isHashed || lookedMs() < LIMITS.readyHoldsMs) break;
  }
  const slots = await assertSwappable(on.disk, on.layout);
  return { kind: 'ready', ...(await wayBackFrom(on.disk, on.layout, slots)) };
}

/** Null when the component may be stopped. */
async function ready(
  job: Job,
  on: EffectContext,
  asked: { what: string; isUrgent: boolean; kind: 'swap' | 'rollback' },
): Promise<Problem | null> {
  return await untilOutOfService({
    ...asked,
    claim: on.claim ?? new SwapClaims().of(on.component),
    ignoresWindows: asked.isUrgent,
    rules: on.interlock ?? ALWAYS_OPEN,
    signal: on.signal,
    now: () => on.now(),
    said: () => on.readySaid(),
    askHook: () => hookOf(job, on, 'ready'),
    onWaiting: (reason, wakeAtMs) => on.onWaiting(reason, wakeAtMs),
  });
}

async function swap(job: Job, on: EffectContext): Promise<MachineEvent> {
  try {
    const slots = await readSlots(on.disk, on.layout);
    const isDone = versionOf(slots.active) === job.version;
    if (!isDone) assertOwnSlots(slots);
    const leaves = job.leftVersion ?? job.previousVersion;
    if (!isDone && leaves !== null) {
      const stopped = await hookOf(job, on, 'stop', leaves);
      if (stopped.kind !== 'ok' && stopped.kind !== 'absent') {
        throw new DroverError('SWAP_FAILED', `stop ${leaves}: ${describeHook(stopped)}`);
      }
    }
    if (!isDone) {
      await assertStaged(on.disk, on.layout, { version: job.version, mayHash: () => false });
    }
    await swapTo(on.disk, on.layout, job);
    return { kind: 'swapped' };
  } catch (thrown) {
    on.signal.throwIfAborted();
    const cause = toProblem(thrown);
    if (cause.code === 'RELEASE_DAMAGED') return { kind: 'swap_failed', problem: cause };
    const { message } = cause;
    const problem = toProblem(new DroverError('SWAP_FAILED', `swap to ${job.version}: ${message}`));
    return { kind: 'swap_failed', problem };
  }
}

async function probe(job: Job, on: EffectContext): Promise<MachineEvent> {
  const outcome = await startAndProbe({
    version: job.version,
    healthTimeoutMs: job.healthTimeoutMs,
    healthIntervalMs: on.healthIntervalMs ?? LIMITS.healthIntervalMs,
    hookTimeoutMs: hookTimeoutOf(on),
    signal: on.signal,
    confirmed: on.confirmed,
    readSlot: async () => onTrial(await readSlots(on.disk, on.layout), job.version),
    runHook: (name, timeoutMs) => hookOf(job, on, name, job.version, timeoutMs),
  });
  if (outcome.kind === 'healthy') await noteConfirmed(on.disk, on.layout, job.version);
  return outcome;
}

async function rollBack(job: Job, inMs: number, on: EffectContext): Promise<MachineEvent> {
  if (inMs > 0) await sleep(inMs, undefined, { signal: on.signal });
  try {
    const active = versionOf((await readSlots(on.disk, on.layout)).active);
    const wayBack = (): Promise<string | null> =>
      returnFrom(on.disk, on.layout, { job, active, failed: failedOf(on.state()) });
    let to = await wayBack();
    // A version that works is taken back: the robot may be in the middle of a task.
    const isTakenBack = job.cause?.code === 'ROLLOUT_RECALLED' && active === job.version;
    if (isTakenBack) {
      const what = `go back from ${job.version}`;
      await ready(
        job,
        { ...on, interlock: patient(on.interlock ?? ALWAYS_OPEN) },
        { what, isUrgent: true, kind: 'rollback' },
      );
    }
    const hasWaited = (await on.claim?.take('rollback', on)) ?? false;
    // Once more after a wait, which may have been long: nothing was stopped yet.
    if (isTakenBack || hasWaited) to = await wayBack();
    // A failing `stop` hook must not keep the robot on a bad version: the failure is only recorded.
    if (active === job.version) await hookOf(job, on, 'stop', job.version);
    await swapBack(on.disk, on.layout, { ...job, previous: to });
    if (to !== null) {
      const started = await hookOf(job, on, 'start', to);
      if (started.kind !== 'ok' && started.kind !== 'absent') {
        throw new DroverError('ROLLBACK_FAILED', `start ${to} again: ${describeHook(started)}`);
      }
    }
    await hookOf(job, on, 'rolled-back', to ?? '');
    return { kind: 'rolled_back', to };
  } catch (thrown) {
    on.signal.throwIfAborted();
    const cause = toProblem(thrown);
    const code = cause.code === 'RELEASE_DAMAGED' ? cause.code : 'ROLLBACK_FAILED';
    return rollbackFailure(on.state(), toProblem(new DroverError(code, cause.message)));
  }
}

/** A version that was taken back has to go, so the robot is waited for without a deadline. */
const patient = (rules: InterlockRules): InterlockRules => ({ ...rules, readyDeadlineMs: null });

const hookTimeoutOf = (on: EffectContext): number =>
  on.hookTimeoutMs ?? LIMITS.hookTimeoutMsDefault;

async function hookOf(
  job: Job,
  on: EffectContext,
  name: HookName,
  version: string = job.version,
  timeoutMs: number = hookTimeoutOf(on),
): Promise<HookResult> {
  return await runHook({
    folder: on.hooksFolder,
    name,
    timeoutMs,
    signal: on.signal,
    env: hookEnvironment({
      component: on.component,
      layout: on.layout,
      version,
      previousVersion: job.previousVersion,
      targetVersion: job.version,
    }),
  });
}

/** The environment of every hook; documented in docs/robot-integration.md. */
export function hookEnvironment(input: {
  component: string;
  layout: Layout;
  version: string;
  previousVersion: string | null;
  targetVersion: string;
}): Record<string, string> {
  return {
    DROVER_COMPONENT: input.component,
    DROVER_ROOT: input.layout.root,
    DROVER_ACTIVE_DIR: input.layout.active,
    DROVER_VERSION: input.version,
    DROVER_PREVIOUS_VERSION: input.previousVersion ?? '',
    DROVER_TARGET_VERSION: input.targetVersion,
  };
}
