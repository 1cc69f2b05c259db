/**
 * Strategy `slot_image`: the payload is an image of a whole system. `stage` writes it into the
 * other slot, a reboot brings it into effect (slot-effects.ts), and `confirm` tells the boot loader
 * to return to it. docs/decisions/0021-slot-images.md explains why. And the choice among all
 * strategies: from the file beside a release, else from its manifest.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ATOMIC_SWAP, moduleOf, SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { BootSlots, SystemSlot } from '../boot/boot-slots.ts';
import { assertApart, holdsImage } from '../boot/slot-check.ts';
import { openSlotDevice } from '../boot/slot-device.ts';
import {
  readSlotRecord,
  removeSlotRecord,
  writeSlotRecord,
  type SlotRecord,
} from '../boot/slot-records.ts';
import type { ImageFacts } from '../boot/image-target.ts';
import { assertImageFits, writeImage } from '../boot/slot-writer.ts';
import { withdrawStrayOrder } from '../boot/stray-order.ts';
import type { SystemSide } from '../boot/system-side.ts';
import type { HookResult } from '../install/hooks.ts';
import { readSlots } from '../install/read-slots.ts';
import { removeLink } from '../install/slot-links.ts';
import { versionOf } from '../install/slots.ts';
import { readStrategy } from '../install/strategy-file.ts';
import {
  BY_LINK_ALONE,
  type ApplyStrategy,
  type ApplyTarget,
  type RunsNow,
} from './apply-strategy.ts';
import { ensureImageRelease } from './image-release.ts';
import { ModuleStrategy, type ModuleContext } from './module-strategy.ts';
import { SelfStrategy } from './self-strategy.ts';
import { openImage } from './slot-delta.ts';
import { jobBytes, type Job } from './state.ts';
import { swapTo } from './swap.ts';

const NEVER = new AbortController().signal;

/** @throws DroverError BOOT_MISSING */
export function systemOf({ system, component, image }: ModuleContext): SystemSide {
  if (system) return system;
  if (image && image.component !== component) {
    const why = `the slots of this robot are for component ${image.component}, and not for ${component}`;
    const hint = `build the image for it, and publish that: drover build --image FILE --name ${image.component}`;
    throw new DroverError('BOOT_MISSING', `use the system slots: ${why}`, { hint });
  }
  const why = `this robot has no --boot for component ${component}`;
  throw new DroverError('BOOT_MISSING', `use the system slots: ${why}`);
}

export class SlotStrategy implements ApplyStrategy {
  readonly byReboot = true;
  readonly #on: ModuleContext;

  constructor(on: ModuleContext) {
    this.#on = on;
  }

  /** @throws DroverError BOOT_MISSING, BOOT_SLOT_KEPT, IMAGE_TOO_LARGE, STRATEGY_CHANGED, BOOT_… */
  async check(job: Job): Promise<void> {
    const system = systemOf(this.#on);
    const { disk, layout } = this.#on;
    const active = versionOf((await readSlots(disk, layout)).active);
    const runs = active === null ? SLOT_IMAGE : await readStrategy(disk, layout, active);
    if (runs !== SLOT_IMAGE) {
      const counts = `(got ${SLOT_IMAGE}, want ${runs})`;
      throw new DroverError(
        'STRATEGY_CHANGED',
        `take ${job.version}: ${active} runs by it ${counts}`,
      );
    }
    await system.assertCanReboot();
    const slots = await system.open();
    await slots.assertComplete?.();
    // The download may take long, and a power cut in it must not boot what an older update ordered.
    await withdrawStrayOrder(slots, { disk, layout, phase: 'checking' });
    await assertOtherFree(slots, job, this.#on);
    const devicePath = system.deviceOf(slots.other);
    await assertApart(system.deviceOf(slots.running), devicePath);
    const device = await openSlotDevice(devicePath);
    try {
      assertImageFits(imageOf(job), device);
    } finally {
      await device.close();
    }
  }

  /**
   * Writes the image into the other slot. The version that was in it is no way back any more, so
   * its link and its record are removed before the first byte.
   */
  async stage(job: Job): Promise<void> {
    const { disk, layout, signal = NEVER, patchProgram: program = null } = this.#on;
    const system = systemOf(this.#on);
    const slots = await system.open();
    const image = imageOf(job);
    const devicePath = system.deviceOf(slots.other);
    await assertApart(system.deviceOf(slots.running), devicePath);
    const opened = await openImage(job, { disk, layout, system, program, signal, image });
    try {
      await this.#dropOther(slots.other);
      await writeImage({ slots, devicePath, source: opened.source, image, signal });
    } finally {
      await opened.close();
    }
    const set = job.set === null ? {} : { set: job.set };
    const record = { slot: slots.other, version: job.version, ...image, ...set };
    await writeSlotRecord(disk, layout, record);
  }

  /** The slot is about to be overwritten. */
  async #dropOther(other: SystemSlot): Promise<void> {
    const { disk, layout } = this.#on;
    const { active, rollback } = await readSlots(disk, layout);
    if (versionOf(rollback) !== null && versionOf(active) !== null) {
      await removeLink(disk, layout, layout.rollback);
      await disk.syncFolder(layout.root);
    }
    await removeSlotRecord(disk, layout, other);
  }

  /**
   * Reads the whole slot: another program may have written to it since the image was read back, and
   * an update may wait for days. It may also have made the boot loader return to that slot.
   * @throws DroverError BOOT_MISSING, BOOT_SLOT_KEPT, SWAP_FAILED
   */
  async prepare(target: ApplyTarget, to: string | null): Promise<void> {
    const slots = await systemOf(this.#on).open();
    if (to !== target.version || (await this.#versionIn(slots)) === to) return;
    await assertOtherFree(slots, target, this.#on);
    const record = await assertHolds(slots.other, target, this.#on);
    await this.#assertUntouched(slots.other, record);
  }

  switchTo(): Promise<void> {
    throw new TypeError('slot_image: a reboot switches, not the strategy');
  }

  /** @throws DroverError BOOT_FELL_BACK */
  async resume(target: ApplyTarget): Promise<void> {
    const slots = await this.#open();
    const said = await this.#versionIn(slots);
    // The links follow the slot: they do not yet where the state of the update was lost.
    if (said === target.version) {
      await ensureImageRelease(target.version, this.#on);
      return await swapTo(this.#on.disk, this.#on.layout, { ...target, isBooted: true });
    }
    const runs = `slot ${slots.running} runs (${said ?? 'unknown version'})`;
    throw new DroverError('BOOT_FELL_BACK', `confirm ${target.version}: ${runs}`);
  }

  /** True when the boot loader returns to the slot that runs already. */
  async isProven(): Promise<boolean> {
    const slots = await this.#open();
    return (await slots.look()).confirmed === slots.running;
  }

  verify(): Promise<HookResult> {
    return Promise.resolve({ kind: 'absent' });
  }

  async confirm(target: ApplyTarget): Promise<void> {
    await this.resume(target);
    const slots = await this.#open();
    await slots.confirm(slots.running);
  }

  /**
   * Takes back an order that the boot loader may have got for a switch that is given up. The image
   * stays in its slot. A way back by a reboot is phase `reverting`, and not here.
   */
  async revert(target: ApplyTarget, to: string | null): Promise<void> {
    if (to === target.version) return; // it stays, without a way back
    const { disk, layout } = this.#on;
    const slots = await this.#open();
    const record = await readSlotRecord(disk, layout, slots.other);
    if (record?.version === target.version) await slots.spoil(slots.other);
  }

  async said(): Promise<RunsNow> {
    const slots = await systemOf(this.#on).open();
    const version = await this.#versionIn(slots);
    if (version !== null) return { kind: 'version', version };
    return { kind: 'unknown', why: `no image of this agent is in slot ${slots.running}` };
  }

  /** @throws DroverError SWAP_FAILED; the slot has no record then: it holds an unknown image */
  async #assertUntouched(slot: SystemSlot, record: SlotRecord): Promise<void> {
    const { disk, layout, signal } = this.#on;
    const device = systemOf(this.#on).deviceOf(slot);
    if (await holdsImage(device, record, signal)) return;
    await removeSlotRecord(disk, layout, slot);
    const why = `another program wrote to slot ${slot} (${device}) after the image was read back`;
    throw new DroverError('SWAP_FAILED', `boot ${record.version}: ${why}`);
  }

  /** Asks repeatedly: a service such as that of RAUC may start after the agent. */
  async #open(): Promise<BootSlots> {
    const { healthIntervalMs = LIMITS.healthIntervalMs, signal } = this.#on;
    for (let nth = 1; ; nth += 1) {
      try {
        return await systemOf(this.#on).open();
      } catch (thrown) {
        if (nth >= LIMITS.moduleTriesMax || !(thrown instanceof DroverError)) throw thrown;
        await sleep(healthIntervalMs, undefined, { signal });
      }
    }
  }

  async #versionIn({ running }: BootSlots): Promise<string | null> {
    const { disk, layout } = this.#on;
    return (await readSlotRecord(disk, layout, running))?.version ?? null;
  }
}

/**
 * A boot loader that reports no confirmed slot leaves the records: a slot that holds another
 * version than `active` names is on trial, or was booted by a person.
 * @throws DroverError BOOT_SLOT_KEPT when the other slot is the way back of the one that runs
 */
async function assertOtherFree(
  slots: BootSlots,
  { version }: ApplyTarget,
  { disk, layout }: ModuleContext,
): Promise<void> {
  const { confirmed } = await slots.look();
  const active = versionOf((await readSlots(disk, layout)).active);
  const record = await readSlotRecord(disk, layout, slots.running);
  const isStrange = record !== null && active !== null && record.version !== active;
  if (confirmed !== slots.other && !(confirmed === null && isStrange)) return;
  const why = `slot ${slots.running} runs on trial, and slot ${slots.other} is the way back`;
  throw new DroverError('BOOT_SLOT_KEPT', `take ${version}: ${why}`);
}

/**
 * Asserts that a slot holds the version as far as its record says.
 * @throws DroverError SWAP_FAILED
 */
export async function assertHolds(
  slot: SystemSlot,
  { version }: Pick<ApplyTarget, 'version'>,
  { disk, layout }: ModuleContext,
): Promise<SlotRecord> {
  const record = await readSlotRecord(disk, layout, slot);
  if (record?.version === version) return record;
  const counts = `(got ${record?.version ?? 'an unknown image'}, want ${version})`;
  throw new DroverError('SWAP_FAILED', `boot ${version}: slot ${slot} holds another ${counts}`);
}

/** A manifest of `slot_image` without these facts was refused when it was parsed. */
function imageOf(job: Job): ImageFacts {
  const { image } = parseManifest(jobBytes(job).manifestBytes);
  if (image) return image;
  throw new DroverError('IMAGE_INVALID', `read the manifest of ${job.version}: no image`);
}

/** For a strategy of a manifest; `strategyOf` prefers the file beside the release. */
export function strategyNamed(strategy: string, on: ModuleContext): ApplyStrategy {
  if (on.self) return new SelfStrategy(on.self, on);
  if (strategy === SLOT_IMAGE) return new SlotStrategy(on);
  const module = moduleOf(strategy);
  return module === null ? BY_LINK_ALONE : new ModuleStrategy(module, on);
}

/** Returns the strategy of a version in the root, also of one whose state was lost. */
export async function strategyOf(
  { version, strategy }: Pick<Job, 'version' | 'strategy'>,
  on: ModuleContext,
): Promise<ApplyStrategy> {
  const kept = await keptStrategy(version, on);
  return strategyNamed(kept === ATOMIC_SWAP ? strategy : kept, on);
}

/** A disk that cannot read it says nothing against what the state remembers. */
async function keptStrategy(version: string, { disk, layout }: ModuleContext): Promise<string> {
  try {
    return await readStrategy(disk, layout, version);
  } catch (thrown) {
    if (!(thrown instanceof DroverError) || thrown.code === 'MODULE_UNKNOWN') throw thrown;
    return ATOMIC_SWAP;
  }
}
