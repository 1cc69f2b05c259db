/**
 * The two system slots of this machine as the agent uses them: the boot loader, the device of each
 * slot, and the command that restarts the machine. A robot has them only with `--boot`.
 */

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  assertConfigured,
  type BootMoment,
  type BootSlots,
  type SystemSlot,
} from './boot-slots.ts';
import { openBootSlots, type BootPlace } from './open-boot.ts';
import { assertRunnable, runBootProgram } from './run-program.ts';

export interface SystemSide {
  /** @throws DroverError BOOT_SLOT_UNKNOWN, BOOT_TOOL_FAILED, BOOT_STATE_DAMAGED */
  open(): Promise<BootSlots>;
  /** @throws DroverError BOOT_MISSING when the robot names no device for the slot */
  deviceOf(slot: SystemSlot): string;
  /** Name of this boot: another one after each restart of the machine. */
  bootId(): Promise<string>;
  /**
   * Looks for the program that restarts the machine.
   * @throws DroverError BOOT_REBOOT_FAILED when it cannot be run
   */
  assertCanReboot(): Promise<void>;
  /**
   * Asks for a restart and waits for it.
   * @throws DroverError BOOT_REBOOT_FAILED when the machine still runs after `rebootMsMax`, or the
   *   signal's reason
   */
  reboot(signal: AbortSignal): Promise<never>;
}

export interface SystemSettings {
  /** Component whose bundles are images for the slots. */
  readonly component: string;
  readonly boot: BootPlace;
  /** Path of the device of each slot. */
  readonly devices: ReadonlyMap<string, string>;
  /** Program and its arguments. */
  readonly rebootCommand: readonly string[];
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export const kernelBootId = async (): Promise<string> => (await readFile(BOOT_ID, 'utf8')).trim();

/** @returns null where the kernel does not name its boots, as without /proc */
export function bootMoment(): BootMoment | null {
  try {
    const bootId = readFileSync(BOOT_ID, 'utf8').trim().slice(0, LIMITS.bootIdCharsMax);
    return { bootId, upMs: Number(process.hrtime.bigint() / NS_PER_MS) };
  } catch {
    return null; // each start of the agent counts as a boot then
  }
}

const NS_PER_MS = 1_000_000n;

export class MachineSide implements SystemSide {
  readonly #settings: Omit<SystemSettings, 'component'>;

  constructor(settings: Omit<SystemSettings, 'component'>) {
    this.#settings = settings;
  }

  async open(): Promise<BootSlots> {
    const slots = await openBootSlots(this.#settings.boot);
    assertConfigured(slots, this.#settings.devices);
    return slots;
  }

  deviceOf(slot: SystemSlot): string {
    const path = this.#settings.devices.get(slot);
    if (path !== undefined) return path;
    throw new DroverError('BOOT_MISSING', `find slot ${slot}: no --slot-device names it`);
  }

  bootId(): Promise<string> {
    return kernelBootId();
  }

  async assertCanReboot(): Promise<void> {
    const [program = ''] = this.#settings.rebootCommand;
    try {
      await assertRunnable(program);
    } catch (thrown) {
      const { message, hint } = toProblem(thrown);
      throw new DroverError('BOOT_REBOOT_FAILED', `read --reboot-command: ${message}`, { hint });
    }
  }

  async reboot(signal: AbortSignal): Promise<never> {
    signal.throwIfAborted();
    const [program = '', ...args] = this.#settings.rebootCommand;
    try {
      await runBootProgram(program, args, LIMITS.rebootCommandMsMax);
    } catch (thrown) {
      throw new DroverError('BOOT_REBOOT_FAILED', `reboot: ${toProblem(thrown).message}`);
    }
    await sleep(LIMITS.rebootMsMax, undefined, { signal });
    const why = `${program} ended with 0 and the machine still runs after ${LIMITS.rebootMsMax / 1000} s`;
    throw new DroverError('BOOT_REBOOT_FAILED', `reboot: ${why}`);
  }
}
