/**
 * The effects of `slot_image`: stage the image, boot into the slot that holds it, boot back, and
 * check at rest which slot runs. slot-plan.ts decides each step from what the machine says now.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { compareVersions } from '../../shared/base/version.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { BootSlots, BootView, SystemSlot } from '../boot/boot-slots.ts';
import { holdsImage } from '../boot/slot-check.ts';
import { readSlotRecord, removeSlotRecord, type SlotRecord } from '../boot/slot-records.ts';
import { withdrawStrayOrder } from '../boot/stray-order.ts';
import { wasConfirmedHere } from '../install/marks.ts';
import { readSlots } from '../install/read-slots.ts';
import { removeLink } from '../install/slot-links.ts';
import { versionOf } from '../install/slots.ts';
import { momentOf, type EffectContext } from './effect-context.ts';
import { hookOf, startAgain } from './hook-calls.ts';
import { ensureImageRelease } from './image-release.ts';
import { leaseLossOf, standDown } from './lease-guard.ts';
import { rollbackFailure, type MachineEvent } from './machine.ts';
import { rollbackProblem } from './retry.ts';
import {
  isUnknownTrial,
  planReturnBoot,
  planTrial,
  TRIES,
  type BootBackFacts,
} from './slot-plan.ts';
import { assertHolds, strategyOf, systemOf } from './slot-strategy.ts';
import type { SlotTrial } from './job-parts.ts';
import type { Job } from './state.ts';
import { goBack, swapBack, swapTo } from './swap.ts';

/** The end of `swapping`: what remains is done by a reboot. */
export async function endSwapByReboot(job: Job, on: EffectContext): Promise<MachineEvent> {
  const { running, other } = await systemOf(on).open();
  const record = await readSlotRecord(on.disk, on.layout, running);
  const isThere = record?.version === job.version; // somebody has booted it by hand
  const slots = isThere ? { from: other, to: running } : { from: running, to: other };
  return { kind: 'reboot_due', slots };
}

export async function bootOther(job: Job, on: EffectContext): Promise<MachineEvent> {
  try {
    const { slotTrial: trial } = job;
    if (!trial) throw new TypeError('bootOther: the job names no slots');
    const system = systemOf(on);
    const slots = await system.open();
    const to = trial.to as SystemSlot;
    const step = planTrial({ ...(await factsOf(trial, slots, on)), to });
    switch (step.kind) {
      case 'runs':
        await ensureImageRelease(job.version, on);
        await swapTo(on.disk, on.layout, { ...job, isBooted: true });
        return { kind: 'swapped', at: momentOf(on) };
      case 'tell':
        await untilOthersAreStopped(job, on);
        return (await lostBefore(job, on)) ?? (await tell(job, slots, on));
      case 'reboot':
        await untilOthersAreStopped(job, on);
        return await restart(on, `slot ${to}`);
      case 'fellBack':
        throw new DroverError('BOOT_FELL_BACK', `boot ${job.version} in slot ${to}: ${step.why}`);
    }
  } catch (thrown) {
    on.signal.throwIfAborted();
    return { kind: 'swap_failed', problem: toProblem(thrown) };
  }
}

/**
 * The components of its set follow the image at the boot: none of them runs, or goes back, then.
 * @throws DroverError SET_FAILED when one goes back
 */
async function untilOthersAreStopped({ set, version }: Job, on: EffectContext): Promise<void> {
  while (set?.image !== undefined && on.set && on.set.mayBootImage !== 'may') {
    if (on.set.mayBootImage === 'never') {
      const why = 'another component of the set went back';
      throw new DroverError('SET_FAILED', `boot ${version} in set ${set.id}: ${why}`);
    }
    on.onWaiting(`set ${set.id}: the other components to stop`, null);
    await on.set.next(on.signal, LIMITS.setRollbackWaitMs);
  }
}

/**
 * The last question to the leases: the order to the boot loader is the first step of the switch. A
 * restart of the agent may have come between that order and its note, so it is taken back.
 */
async function lostBefore(job: Job, on: EffectContext): Promise<MachineEvent | null> {
  const what = `swap to ${job.version}`;
  const problem = leaseLossOf(on, { holders: job.leaseHolders, what });
  if (problem === null) return null;
  if (job.set?.image !== undefined) return { kind: 'swap_failed', problem };
  const strategy = await strategyOf(job, on);
  return await standDown(job, { problem, wasStopped: true, isAgain: true, strategy }, on);
}

async function tell(job: Job, slots: BootSlots, on: EffectContext): Promise<MachineEvent> {
  await assertHolds(slots.other, job, on);
  await slots.tryNext(slots.other, TRIES);
  return { kind: 'told', bootId: await systemOf(on).bootId() };
}

async function restart(on: EffectContext, into: string): Promise<never> {
  on.onWaiting(`the machine to restart into ${into}`, null);
  return await systemOf(on).reboot(on.signal);
}

async function factsOf(trial: SlotTrial | null, slots: BootSlots, on: EffectContext) {
  const bootId = await systemOf(on).bootId();
  const toldIn = trial?.toldIn ?? null;
  const told = { isTold: toldIn !== null, isSameBoot: toldIn === bootId };
  return { bootId, running: slots.running, view: await slots.look(), ...told };
}

export async function bootBack(job: Job, inMs: number, on: EffectContext): Promise<MachineEvent> {
  if (inMs > 0) await sleep(inMs, undefined, { signal: on.signal });
  try {
    const slots = await systemOf(on).open();
    const undone = await undoneSlot(job, slots, on);
    const back = undone === slots.running ? slots.other : slots.running;
    const { bootId, ...facts } = await factsOf(job.slotTrial, slots, on);
    const found = await pastOf(job, { undone, back, ...facts }, on);
    const step = planReturnBoot({ ...facts, ...found, undone, back });
    switch (step.kind) {
      case 'arrived': {
        // First what runs: a boot loader that refuses must not keep a false version in the report.
        const to = await leadBack(job, on);
        if (step.mustConfirm) await slots.confirm(back);
        await slots.spoil(undone);
        await removeSlotRecord(on.disk, on.layout, undone);
        await hookOf(job, on, 'rolled-back', to ?? '');
        return { kind: 'rolled_back', to };
      }
      case 'tell':
        if (step.by === 'try') await slots.tryNext(back, TRIES);
        else await leave(slots, undone, back);
        return { kind: 'told', bootId };
      case 'reboot':
        return await restart(on, `slot ${back}`);
      case 'stays':
        on.onWaiting(step.why, null);
        return await stays(job, { slots, back }, on);
      case 'failed':
        throw new DroverError('ROLLBACK_FAILED', `go back from ${job.version}: ${step.why}`);
    }
  } catch (thrown) {
    on.signal.throwIfAborted();
    return rollbackFailure(on.state(), rollbackProblem(toProblem(thrown)));
  }
}

/** A boot loader that keeps this slot as the confirmed one gets the other one on trial. */
async function leave(slots: BootSlots, undone: SystemSlot, back: SystemSlot): Promise<void> {
  try {
    await slots.spoil(undone);
  } catch (thrown) {
    // A boot loader that cannot be written would refuse the other order for another reason.
    if (!(thrown instanceof DroverError) || thrown.code !== 'BOOT_SLOT_KEPT') throw thrown;
    await slots.tryNext(back, TRIES);
  }
}

/**
 * The slot of the version that is undone: from the update, or by the records when that was lost.
 * @throws DroverError BOOT_VERSION_UNKNOWN
 */
async function undoneSlot(job: Job, slots: BootSlots, on: EffectContext): Promise<SystemSlot> {
  if (job.slotTrial) return job.slotTrial.to as SystemSlot;
  for (const slot of [slots.running, slots.other]) {
    if ((await readSlotRecord(on.disk, on.layout, slot))?.version === job.version) return slot;
  }
  const why = `no slot is known to hold ${job.version}`;
  throw new DroverError('BOOT_VERSION_UNKNOWN', `go back from ${job.version}: ${why}`);
}

/** Facts from the root, and from the slot before: it is read before a good version is left. */
async function pastOf(
  job: Job,
  { undone, back, view, running, isTold }: Omit<BootBackFacts, 'wasConfirmed' | 'hasBack'>,
  on: EffectContext,
): Promise<Pick<BootBackFacts, 'wasConfirmed' | 'hasBack'>> {
  const { disk, layout, signal } = on;
  const record = await readSlotRecord(disk, layout, back);
  const hasBack = record !== null && record.version === job.previousVersion;
  const wasConfirmed = await wasConfirmedHere(disk, layout, job.version);
  const isGood = view.confirmed === null ? wasConfirmed : view.confirmed === undone;
  if (!hasBack || !isGood || isTold || running === back) return { hasBack, wasConfirmed };
  return { hasBack: await holdsImage(systemOf(on).deviceOf(back), record, signal), wasConfirmed };
}

/**
 * The slot before runs again: the links follow, and the application is started.
 * @returns the version; null for none, as before the first image
 */
async function leadBack(job: Job, on: EffectContext): Promise<string | null> {
  const active = versionOf((await readSlots(on.disk, on.layout)).active);
  const to = active === null || active === job.version ? job.previousVersion : active;
  if (to !== null) await ensureImageRelease(to, on);
  await swapBack(on.disk, on.layout, { ...job, previous: to });
  if (to !== null) await startAgain(job, on, to, 'ROLLBACK_FAILED');
  return to;
}

/** The slots of a way back whose update is unknown, by the records; null when the job has them. */
export async function slotsOfReturn(
  job: Job,
  on: EffectContext,
): Promise<Pick<SlotTrial, 'from' | 'to'> | null> {
  if (job.slotTrial) return null;
  const slots = await systemOf(on).open();
  const to = await undoneSlot(job, slots, on);
  return { from: to === slots.running ? slots.other : slots.running, to };
}

/** The version that was taken back runs on, and what is in the other slot is no way back. */
async function stays(
  job: Job,
  { slots, back }: { readonly slots: BootSlots; readonly back: SystemSlot },
  on: EffectContext,
): Promise<MachineEvent> {
  await slots.spoil(back);
  await removeSlotRecord(on.disk, on.layout, back);
  if (versionOf((await readSlots(on.disk, on.layout)).rollback) !== null) {
    await removeLink(on.disk, on.layout, on.layout.rollback);
    await on.disk.syncFolder(on.layout.root);
  }
  await startAgain(job, on, job.version, 'ROLLBACK_FAILED');
  return { kind: 'rolled_back', to: job.version };
}

/**
 * At rest: the slot that runs decides which version does, and `active` follows it. Nothing is
 * rebooted for that.
 * @param active version that `active` leads to
 * @returns an event for the state, or a problem to report; null when all agree
 */
export async function settleSlots(
  active: string,
  on: EffectContext,
): Promise<MachineEvent | Problem | null> {
  const slots = await systemOf(on).open();
  const { running } = slots;
  const view = await slots.look();
  const { confirmed } = view;
  const record = await readSlotRecord(on.disk, on.layout, running);
  if (record === null) {
    const why = `no image of this agent is in slot ${running}; active names ${active}`;
    return toProblem(new DroverError('BOOT_VERSION_UNKNOWN', `ask what runs: ${why}`));
  }
  const { version } = record;
  if (version !== active) return await follow({ record, active, slots, view }, on);
  // A start does that before; the boot loader may not have answered then.
  const stray = await withdrawStrayOrder(slots, { ...on, phase: on.state().phase });
  if (stray) return stray;
  if (confirmed === null || confirmed === running) return null;
  // The boot loader came back by itself, which is reported already.
  if (on.state().lastProblem?.code === 'BOOT_FELL_BACK') return null;
  const why = `slot ${running} runs on trial, and no update is under way`;
  return toProblem(new DroverError('BOOT_NOT_CONFIRMED', `keep ${version}: ${why}`));
}

/**
 * The set that an image on trial was written for, whose other components decide about it as well. A
 * version that is older than the one before ran here already, without them.
 */
const setOfTrial = ({ version, set }: SlotRecord, previous: string): RolloutSet | null =>
  compareVersions(version, previous) > 0 ? (set ?? null) : null;

/** Another version runs than `active` names. The slot is read first: the record may be old. */
async function follow(
  found: {
    readonly record: SlotRecord;
    readonly active: string;
    readonly slots: Pick<BootSlots, 'running' | 'other'>;
    readonly view: BootView;
  },
  on: EffectContext,
): Promise<MachineEvent | Problem | null> {
  const { record, active, view } = found;
  const { disk, layout, signal } = on;
  const { running, other } = found.slots;
  const { version } = record;
  const device = systemOf(on).deviceOf(running);
  if (!(await holdsImage(device, record, signal))) {
    // Nothing may believe it later: it would keep the next image out of the other slot.
    await removeSlotRecord(disk, layout, running);
    const why = `slot ${running} (${device}) holds another image than this agent wrote, or was mounted for writing; active names ${active}`;
    return toProblem(new DroverError('BOOT_VERSION_UNKNOWN', `ask what runs: ${why}`));
  }
  const message = `keep ${active}: slot ${running} runs, which holds ${version}`;
  const code = view.confirmed === running ? 'BOOT_SLOT_CHANGED' : 'BOOT_FELL_BACK';
  const problem = toProblem(new DroverError(code, message));
  await ensureImageRelease(version, on);
  if (isUnknownTrial({ version, active, view, running }, on.state())) {
    const slots = { from: other, to: running };
    const lost = `slot ${running} runs ${version} on trial, and its update is not in machine.json; it is on probation, with ${active} to go back to`;
    const told = toProblem(new DroverError('STATE_LOST', `read state: ${lost}`));
    const set = setOfTrial(record, active);
    return { kind: 'trial_found', version, previous: active, slots, set, problem: told };
  }
  // The state first: a link alone would look like one that a person changed.
  if (on.state().lastActive !== version) return { kind: 'fell_back', to: version, problem };
  await goBack(disk, layout, version);
  // Once more: the component reads its links again with each event.
  return { kind: 'fell_back', to: version, problem };
}
