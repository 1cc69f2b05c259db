/**
 * Carries out each effect of the machine and returns the event that came of it. No decision is
 * taken here that the machine could take: an effect ends in exactly one event.
 */

import { countOf } from '../../shared/base/printable.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import {
  newKeptFolder,
  newRecipeFile,
  payloadFile,
  stagingFolder,
  tarFile,
  treeFolder,
} from '../install/layout.ts';
import { ALWAYS_OPEN } from '../local/interlock.ts';
import { payloadFailure, type Effect, type MachineEvent } from './machine.ts';
import { failedOf, jobBytes, type Job } from './state.ts';
import { assertStaged, assertSwappable, assertOneFilesystem } from './assert-swappable.ts';
import { cleanUp } from './clean-up.ts';
import { downloadPayload, type DownloadInput } from './download.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { admitKept } from '../install/kept-files.ts';
import { patchTar } from './patch.ts';
import { releasePatchRoom, releaseRoom, reserveRoom } from './room.ts';
import { neighboursOf, offeredBy, requiresProblem } from './requires-check.ts';
import { chooseRoute, openBase } from './route.ts';
import { writeSeal } from '../install/seal-file.ts';
import { stageArchive } from './stage.ts';
import { admitRelease, assertAdmissible, removePatches } from './swap.ts';
import { verifyPayload } from './verify.ts';
import { wayBackFrom } from './way-back.ts';
import { assertSameStrategy, keepStrategy } from '../install/strategy-file.ts';
import { SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { admitImage, makeImageTree } from './image-release.ts';
import { checkSlotDelta } from './slot-delta.ts';
import { strategyNamed, systemOf } from './slot-strategy.ts';
import type { EffectContext } from './effect-context.ts';
import { bootBack, bootOther } from './slot-effects.ts';
import { settle } from './settle.ts';
import { startIfStopped } from './hook-calls.ts';
import { assertSetImage, followBoot, followsOf, isFollowing } from './follow-effects.ts';
import { askJoint } from './joint-effects.ts';
import { awaitSet, endWayBack, probe, ready, rollBack, swap } from './swap-effects.ts';

/** @returns the event the effect ended in; null for `cleanUp` and mostly `settle` */
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
      return swap(effect.job, effect.isAgain, on);
    case 'bootOther':
      return isFollowing(effect.job) ? followBoot(effect.job, on) : bootOther(effect.job, on);
    case 'bootBack':
      return isFollowing(effect.job)
        ? endWayBack(effect.job, effect.inMs, on)
        : bootBack(effect.job, effect.inMs, on);
    case 'probe':
      return probe(effect.job, on);
    case 'awaitSet':
      return awaitSet(effect.job, on);
    case 'rollBack':
      return rollBack(effect.job, effect.inMs, on);
    case 'waitStuck':
      on.onWaiting('another try at the rollback', on.now() + effect.inMs);
      await sleep(effect.inMs, undefined, { signal: on.signal });
      return { kind: 'retried' };
    case 'cleanUp':
      await cleanUp(on);
      return null;
    case 'settle':
      return await settle(on);
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

/**
 * After any failure of a delta the full payload is still available. A boot loader or a device that
 * fails would fail with it as well.
 */
async function orWithoutDelta(
  job: Job,
  on: EffectContext,
  run: () => Promise<MachineEvent>,
): Promise<MachineEvent> {
  try {
    return await run();
  } catch (thrown) {
    on.signal.throwIfAborted();
    const problem = toProblem(thrown);
    if (!job.delta || problem.code.startsWith('BOOT_')) throw thrown;
    return { kind: 'delta_failed', problem };
  }
}

async function check(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, layout } = on;
  await on.assertOwn?.();
  await assertAdmissible(disk, layout, job.version, null);
  await assertOneFilesystem(disk, layout);
  await assertSwappable(disk, layout);
  await assertSameStrategy(disk, layout, job);
  await assertSetImage(job, on);
  await strategyNamed(job.strategy, on).check(job);
  const choice = await chooseRoute({ ...on, job });
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
      missing = chunks === 0 ? null : `${countOf(chunks, 'chunk')} that the broker does not send`;
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
  const { disk, layout, signal, trust, patchProgram: program = null } = on;
  const { delta } = job;
  if (!delta) throw new TypeError('patch: the job has no delta');
  verifyBundle({ ...jobBytes(job), trust });
  if (job.strategy === SLOT_IMAGE) {
    // `stage` applies it.
    await checkSlotDelta(job, delta, { disk, layout, signal, system: systemOf(on) });
    return { kind: 'intact' };
  }
  const base = await openBase(delta, job, on);
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
  if (job.strategy === SLOT_IMAGE) return await stageImage(job, tree, on);
  const { isBase, hashOf } = await stageArchive({
    disk,
    payloadPath: job.delta ? tarFile(folder) : payloadFile(folder),
    packing: job.delta ? 'plain' : 'gzip',
    recipePath,
    keptFolder: kept,
    intoFolder: tree,
    packedBytes: job.payloadBytes,
    signal,
  });
  await assertAdmissible(disk, layout, version, tree);
  await writeSeal(disk, layout, { version, tree, hashOf, signal });
  await keepStrategy(disk, layout, job);
  await admitRelease(disk, layout, { tree, version, recipe: isBase ? recipePath : null });
  await admitKept(disk, kept, { layout, version });
  await strategyNamed(job.strategy, on).stage(job);
  return { kind: 'staged' };
}

/** The image goes into the slot, and its release names it. */
async function stageImage(job: Job, tree: string, on: EffectContext): Promise<MachineEvent> {
  const { disk, layout } = on;
  const { version } = job;
  // Before the first byte of the slot: the release may not be admitted.
  await makeImageTree(disk, { version, tree, payload_sha256: job.payloadSha256 });
  await assertAdmissible(disk, layout, version, tree);
  await strategyNamed(job.strategy, on).stage(job);
  await admitImage(on, { version, tree });
  return { kind: 'staged' };
}

async function askReady(job: Job, on: EffectContext): Promise<MachineEvent> {
  if (on.set?.isJoint === true) {
    const askNow = (): Promise<MachineEvent> => askReadyNow(job, on);
    return await askJoint(
      job,
      { ...on, set: on.set },
      { askNow, hasPlace: () => hasPlace(job, on) },
    );
  }
  for (;;) {
    if (job.set?.image !== undefined) {
      const problem = await allReady(job, on);
      if (problem) return { kind: 'refused', problem };
    }
    if (job.set) await on.set?.untilMayGo(on);
    const event = await askReadyNow(job, on);
    if (event.kind !== 'ready') return event;
    // The robot may have been busy for long, and the others of the set have changed meanwhile.
    const isHeldUp = job.set !== null && on.set?.mayGo === false;
    if (!isHeldUp && hasPlace(job, on)) return event;
    on.claim?.release();
    // The robot is asked again when it has a place: it goes on working until then.
    if (!isHeldUp) await on.place?.untilGranted(job, on);
  }
}

/** One place is enough for all of a set: the robot is out of service until its end. */
const hasPlace = (job: Job, on: EffectContext): boolean =>
  on.set?.isHeld === true || on.place?.mayGo(job) !== false;

/** A robot that has to wait for something else has no use for a place. */
const givingBack =
  (on: EffectContext): EffectContext['onWaiting'] =>
  (reason, wakeAtMs) => {
    if (reason !== null && !on.signal.aborted) on.place?.takeBack();
    on.onWaiting(reason, wakeAtMs);
  };

/** The components of a set with a system image stop together: first all of them are ready. */
async function allReady(job: Job, on: EffectContext): Promise<Problem | null> {
  const what = `swap to ${job.version}`;
  const ask = async (): Promise<Problem | null> => {
    const isUrgent = job.emergency || on.set?.isHeld === true;
    const asking = { ...on, onWaiting: givingBack(on) };
    const problem = await ready(job, asking, { what, isUrgent, kind: 'swap' });
    on.claim?.release(); // others need not wait for a set that waits for its last component
    return problem;
  };
  const { readyIntervalMs: everyMs } = on.interlock ?? ALWAYS_OPEN;
  return (await on.set?.untilAllReady(on, { ask, everyMs })) ?? null;
}

async function askReadyNow(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { disk, layout, signal } = on;
  const { version } = job;
  // No window closes between two components of a set.
  const isUrgent = job.emergency || on.set?.isHeld === true;
  const running = versionOf((await readSlots(disk, layout)).active);
  const target = { version: running ?? version, previousVersion: null };
  if (running !== null) await startIfStopped(on, target);
  const strategy = strategyNamed(job.strategy, on);
  await strategy.prepare(job, version);
  for (let isHashed = false; ; isHashed = true) {
    const asking = { ...on, onWaiting: givingBack(on) };
    const what = `swap to ${version}`;
    const problem = await ready(job, asking, { what, isUrgent, kind: 'swap' });
    if (problem) return { kind: 'refused', problem };
    const sinceMs = performance.now();
    const lookedMs = (): number => performance.now() - sinceMs;
    const mayHash = (): boolean => !isHashed && !signal.aborted && lookedMs() < LIMITS.stagedHashMs;
    await assertStaged(disk, layout, { version, mayHash });
    if (isHashed || lookedMs() < LIMITS.readyHoldsMs) break;
  }
  // Under the claim: no other component begins a swap from here on, so this answer holds.
  const offered = offeredBy(on.component, job);
  const lacks = on.set && requiresProblem(offered, job.set, neighboursOf(on.set.views));
  if (lacks) return { kind: 'refused', problem: lacks };
  const slots = await assertSwappable(on.disk, on.layout);
  const holders = on.leases?.holders ?? [];
  const follows = await followsOf(job, on);
  return { kind: 'ready', holders, follows, ...(await wayBackFrom(on.disk, on.layout, slots)) };
}
