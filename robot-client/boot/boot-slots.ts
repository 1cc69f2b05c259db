/**
 * The boot side as a narrow port: which of the two slots runs, which one the boot loader comes back
 * to, and which one it tries. Every boot loader has an adapter behind it.
 *
 * Each call says how things are to be and not what to do, so that it can be repeated after a power
 * cut. A call that returned is durable. At every instant the boot loader leads to a slot that was
 * confirmed, or to one that was written whole and is being tried.
 * Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { ID_PATTERN } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** Matches ID_PATTERN, as the boot loader calls it: `A`, `B`. */
export type SystemSlot = string & { readonly isSystemSlot: never };

/** What the boot loader remembers. A null is something that this one does not tell. */
export interface BootView {
  /** The slot that it comes back to when a try was in vain. */
  readonly confirmed: SystemSlot | null;
  /** The slot that it chooses at the next boot. */
  readonly next: SystemSlot | null;
  /** Boots that are left to a slot on trial: 0 when all were used; null also when there is none. */
  readonly triesLeft: number | null;
  /** Slots that it never chooses. */
  readonly spoiled: readonly SystemSlot[];
}

export interface BootSlots {
  /** Of this boot, as the kernel or the boot loader says it; never taken from a file of ours. */
  readonly running: SystemSlot;
  readonly other: SystemSlot;
  /** @throws DroverError BOOT_STATE_DAMAGED, BOOT_TOOL_FAILED, or of the disk */
  look(): Promise<BootView>;
  /**
   * The boot loader never chooses this slot, until it is to be tried. For the slot that is about to
   * be written over, and for one on trial that runs and is not good: the next boot goes back.
   * @throws DroverError BOOT_SLOT_KEPT for the slot that is confirmed
   */
  spoil(slot: SystemSlot): Promise<void>;
  /**
   * The next boots choose this slot, so many of them; then the boot loader comes back to the
   * confirmed one by itself. Tries that were used are given again.
   * @throws DroverError BOOT_SLOT_KEPT for the slot that is confirmed
   */
  tryNext(slot: SystemSlot, tries: number): Promise<void>;
  /**
   * The boot loader comes back to this slot from now on. The other one stays as it is.
   * @throws DroverError BOOT_SLOT_NOT_RUNNING
   */
  confirm(slot: SystemSlot): Promise<void>;
}

export const isSystemSlot = (text: string): text is SystemSlot => ID_PATTERN.test(text);

/** @throws DroverError BOOT_SLOT_UNKNOWN */
export function asSystemSlot(text: string, from: string): SystemSlot {
  if (isSystemSlot(text)) return text;
  const got = JSON.stringify(text.slice(0, 80));
  throw new DroverError('BOOT_SLOT_UNKNOWN', `read ${from}: no name of a slot (got ${got})`);
}

/** Null for the slot that is in neither place. */
export function counterpart(
  slots: readonly [SystemSlot, SystemSlot],
  slot: SystemSlot,
): SystemSlot | null {
  if (slot === slots[0]) return slots[1];
  return slot === slots[1] ? slots[0] : null;
}

/** A slot that is not one of the two is a mistake of whoever asks. */
export function assertOneOfTwo({ running, other }: BootSlots, slot: SystemSlot): void {
  if (slot === running || slot === other) return;
  throw new DroverError(
    'BOOT_SLOT_UNKNOWN',
    `change slot ${slot}: there is none (got ${slot}, want ${running} or ${other})`,
  );
}

/** The slot that is confirmed is the way back: nothing is written over it, nothing tried on it. */
export function assertNotConfirmed(slot: SystemSlot, { confirmed }: BootView): void {
  if (slot !== confirmed) return;
  throw new DroverError(
    'BOOT_SLOT_KEPT',
    `change slot ${slot}: it is the one that the boot loader comes back to`,
  );
}

export function assertRunning(slot: SystemSlot, { running }: BootSlots): void {
  if (slot === running) return;
  throw new DroverError(
    'BOOT_SLOT_NOT_RUNNING',
    `confirm slot ${slot}: it does not run (got ${slot}, want ${running})`,
  );
}

/** A programming error: a trial is given at least one boot, and one digit of them at most. */
export function assertTries(tries: number): void {
  if (Number.isInteger(tries) && tries >= 1 && tries <= LIMITS.bootTriesMax) return;
  throw new TypeError(`tryNext: ${tries} tries (want 1 to ${LIMITS.bootTriesMax})`);
}
