/**
 * The effects of a component whose links follow a system image (follow-plan.ts): it stops, waits
 * for the boot that switches it, and waits on the way back until the image is back. `recover` leads
 * the links at a boot; this does it where `recover` could not.
 */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { moduleOf } from '../../shared/formats/apply-strategy.ts';
import type { ImageSide } from '../boot/system-image.ts';
import { hookFailure } from '../install/hooks.ts';
import { layoutOf } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { momentOf, type EffectContext } from './effect-context.ts';
import { fellBack, slotRuns, type SlotRuns } from './follow-plan.ts';
import { hookOf } from './hook-calls.ts';
import { leftBy } from './lease-guard.ts';
import type { MachineEvent } from './machine.ts';
import type { Follows } from './job-parts.ts';
import type { Job } from './state.ts';
import { swapTo } from './swap.ts';

type Following = Job & { readonly follows: Follows };
export const isFollowing = (job: Job): job is Following => job.follows !== null;

/**
 * Phase `checking` of a member of a set with a system image: this robot would follow it at a boot.
 * Each root is asked about, since each is recovered alone.
 * @throws DroverError SET_MIXED, SET_IMAGE_UNREADY
 */
export async function assertSetImage(job: Job, on: EffectContext): Promise<void> {
  if (job.set?.image === undefined || on.set?.hasImage !== true) return;
  if (moduleOf(job.strategy) !== null) {
    const why = `${job.strategy} beside the system image ${job.set.image}`;
    throw new DroverError('SET_MIXED', `take ${job.version}: ${why}`);
  }
  await imageOf(job, on);
}

/** @throws DroverError SET_IMAGE_UNREADY */
async function imageOf({ set, version }: Job, on: EffectContext): Promise<ImageSide> {
  const { image, layout } = on;
  if (!image || image.component !== set?.image) {
    const why = `this robot has no --boot for component ${set?.image ?? ''}`;
    throw new DroverError('SET_IMAGE_UNREADY', `take ${version}: ${why}`);
  }
  for (const root of new Set([layout.root, ...layout.siblings])) {
    const problem = await image.unready(layoutOf(root));
    if (problem) throw new DroverError('SET_IMAGE_UNREADY', `${problem.message} (${root})`);
  }
  return image;
}

/**
 * The slots that the links of an update follow; null when it is in no set with a system image, is
 * that image, or the image runs already.
 * @throws DroverError SET_IMAGE_UNREADY, SWAP_FAILED, or of the boot loader
 */
export async function followsOf(job: Job, on: EffectContext): Promise<Follows | null> {
  const { set } = job;
  const member = set?.members.find(({ component }) => component === set.image);
  if (!member || member.component === on.component || on.set?.hasImage !== true) return null;
  const now = await (await imageOf(job, on)).look();
  const { running, other, versions } = now;
  const { component, version } = member;
  const fromVersion = versions.get(running) ?? null;
  if (fromVersion === version) return null;
  if (versions.get(other) !== version) {
    const counts = `(got ${versions.get(other) ?? 'an unknown image'}, want ${version})`;
    throw new DroverError(
      'SWAP_FAILED',
      `swap to ${job.version}: slot ${other} holds another ${counts}`,
    );
  }
  return { component, version, from: running, fromVersion, to: other };
}

/** The report shows an unknown slot as a reason to wait. */
async function runsNow({ follows }: Following, on: EffectContext): Promise<SlotRuns> {
  try {
    if (on.image) return slotRuns(follows, await on.image.look());
    on.onWaiting('the slot that runs to be known: this robot has no --boot', null);
  } catch (thrown) {
    on.signal.throwIfAborted();
    if (!(thrown instanceof DroverError)) throw thrown;
    const { message, code } = toProblem(thrown);
    on.onWaiting(`the slot that runs to be known: ${message} (${code})`, null);
  }
  return 'unknown';
}

/**
 * Phase `rebooting`: the application is stopped, and the boot into the image switches it. When
 * `recover` did not know which slot runs, the application may have been started since.
 */
export async function followBoot(job: Following, on: EffectContext): Promise<MachineEvent> {
  try {
    for (;;) {
      const runs = await runsNow(job, on);
      if (runs === 'new') return await switchNow(job, on);
      if (runs === 'other') throw toThrow(job);
      if (runs === 'old') {
        on.onWaiting(`the machine to restart into slot ${job.follows.to}`, null);
        on.signal.throwIfAborted();
        // Another slot runs only after a restart; the end of the set aborts this.
        await once(on.signal, 'abort');
      } else await sleep(LIMITS.retrySoonMs, undefined, { signal: on.signal });
      on.signal.throwIfAborted();
    }
  } catch (thrown) {
    on.signal.throwIfAborted();
    return { kind: 'swap_failed', problem: toProblem(thrown) };
  }
}

const toThrow = (job: Following): DroverError => {
  const { code, message, hint } = fellBack(job);
  return new DroverError(code, message, { hint });
};

async function switchNow(job: Following, on: EffectContext): Promise<MachineEvent> {
  const active = versionOf((await readSlots(on.disk, on.layout)).active);
  const leaves = leftBy(job);
  if (active !== job.version && leaves !== null) {
    const stopped = await hookOf(job, on, 'stop', leaves);
    if (stopped.kind !== 'ok' && stopped.kind !== 'absent') {
      throw hookFailure(stopped, 'SWAP_FAILED', `stop ${leaves}`);
    }
  }
  await swapTo(on.disk, on.layout, job);
  return { kind: 'swapped', at: momentOf(on) };
}

/**
 * A start on probation: the image that the release belongs to has to run.
 * @throws DroverError SET_FAILED, or of the boot loader
 */
export async function assertImageRuns(job: Job, on: EffectContext): Promise<void> {
  if (!isFollowing(job)) return;
  for (let nth = 1; ; nth += 1) {
    const runs = await runsNow(job, on);
    if (runs === 'new') return on.onWaiting(null, null);
    if (runs !== 'unknown') throw toThrow(job);
    if (nth >= LIMITS.moduleTriesMax) {
      const why = 'the boot loader does not tell which slot runs';
      throw new DroverError('BOOT_TOOL_FAILED', `confirm ${job.version}: ${why}`);
    }
    await sleep(on.healthIntervalMs ?? LIMITS.healthIntervalMs, undefined, { signal: on.signal });
  }
}

/**
 * True when the way back ends with a boot that the image decides. The former release is led to and
 * started at once where the slot before runs.
 * @param startFormer leads `active` back and starts it
 */
export async function isParkedBack(
  job: Job,
  on: EffectContext,
  startFormer: () => Promise<void>,
): Promise<boolean> {
  if (!isFollowing(job) || on.set?.isImageOpen(job) !== true) return false;
  const runs = await runsNow(job, on);
  if (runs === 'other') return false;
  if (runs === 'old') await startFormer();
  return true;
}

/** Phase `reverting`: resolves when the image is back, or stays for good. */
export async function untilImageIsBack(job: Following, on: EffectContext): Promise<void> {
  while (on.set?.isImageOpen(job) === true) {
    on.onWaiting(`the system image ${job.follows.component} to go back first`, null);
    await on.set.next(on.signal, LIMITS.setRollbackWaitMs);
  }
  on.onWaiting(null, null);
}
