/**
 * A machine with two system slots and a boot loader that counts tries, in memory. Slots that are
 * not bootable panic at once, and the boot loader is asked again, as a watchdog does it.
 */

import { MarkedSlots, type BootMark } from '../../../robot-client/boot/boot-mark.ts';
import type { BootSlots, SystemSlot } from '../../../robot-client/boot/boot-slots.ts';
import type { SystemSide } from '../../../robot-client/boot/system-side.ts';
import { A, B, bootByMark } from './boot-loaders.ts';

const BOOTS_MAX = 50;

export class ModelMachine implements SystemSide {
  running: SystemSlot = A;
  mark: BootMark = { confirmed: A, other: 'x' };
  /** Slots whose system comes up. */
  readonly bootable = new Set<SystemSlot>([A, B]);
  /** False for a boot loader that says only which slot runs. */
  reports = true;
  /** Starts of the machine, those that panic among them. */
  boots = 1;
  /** Called when the agent asks for a restart. */
  onReboot: () => void = () => {};
  /** Called before each change of the boot side, and after it; it may hold the change up. */
  onChange: () => Promise<void> | undefined = () => undefined;
  devices: Readonly<Record<string, string>> = {};

  open(): Promise<BootSlots> {
    const slots = new MarkedSlots(this.running, {
      place: 'the model',
      read: () => Promise.resolve(this.mark),
      write: async (mark) => {
        await this.onChange();
        this.mark = mark;
        await this.onChange();
      },
    });
    const nothing = { confirmed: null, next: null, triesLeft: null, spoiled: [] };
    if (!this.reports) slots.look = () => Promise.resolve(nothing);
    return Promise.resolve(slots);
  }

  deviceOf(slot: SystemSlot): string {
    return this.devices[slot] ?? '/dev/null';
  }

  bootId(): Promise<string> {
    return Promise.resolve(`boot-${this.boots}`);
  }

  assertCanReboot(): Promise<void> {
    return Promise.resolve();
  }

  reboot(signal: AbortSignal): Promise<never> {
    this.onReboot();
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('the machine restarts')));
    });
  }

  /** The power is off and on, or the machine restarts. */
  restart(): void {
    for (let nth = 0; nth < BOOTS_MAX; nth += 1) {
      this.boots += 1;
      const { slot, after } = bootByMark(this.mark);
      this.mark = after ?? this.mark;
      this.running = slot;
      if (this.bootable.has(slot)) return;
    }
    throw new Error('no slot comes up: the robot is lost');
  }
}
