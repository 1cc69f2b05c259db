/**
 * The port to the boot loader: which of the two slots runs, which slot the boot loader returns to,
 * and which slot it tries next. Each boot loader has an adapter behind this port.
 *
 * Each call states the wanted result, not an action, so that it can be repeated after a power cut.
 * A call that has returned is durable. At every moment the boot loader boots a slot that was
 * confirmed, or a slot that was written completely and is on trial.
 * Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { ID_PATTERN } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** Name of a slot in the boot loader: `A`, `B`. Matches ID_PATTERN. */
export type SystemSlot = string & { readonly isSystemSlot: never };

/** State of the boot loader. A field is null when this boot loader does not report it. */
export interface BootView {
  /** The slot that it returns to after a failed trial. */
  readonly confirmed: SystemSlot | null;
  /** The slot that it boots next. */
  readonly next: SystemSlot | null;
  /**
   * Boots that a slot on trial has left: 0 when all were used; null also when no slot is on trial.
   */
  readonly triesLeft: number | null;
  /** Slots that it never boots. */
  readonly spoiled: readonly SystemSlot[];
}

/** The two slots as the boot loader and the records of this agent name them. */
export interface SlotsNow {
  /** Name of this boot, as the kernel gives it. */
  readonly bootId: string;
  readonly running: string;
  readonly other: string;
  /** Version that each slot holds; null when no record names one. */
  readonly versions: ReadonlyMap<string, string | null>;
}

/** A moment of the running boot; its clock starts at zero with each boot. */
export interface BootMoment {
  readonly bootId: string;
  /** On the kernel's monotonic clock, which all processes of a boot share. */
  readonly upMs: number;
}

export interface BootSlots {
  /**
   * The slot of this boot, as the kernel or the boot loader reports it; never read from our files.
   */
  readonly running: SystemSlot;
  readonly other: SystemSlot;
  /**
   * Looks for the programs that the other calls run, before an image is downloaded for them. Left
   * out where no other program is run than the one that answered already.
   * @throws DroverError BOOT_TOOL_FAILED for one that cannot be run
   */
  assertComplete?(): Promise<void>;
  /**
   * Reads the state.
   * @throws DroverError BOOT_STATE_DAMAGED, BOOT_TOOL_FAILED, or of the disk
   */
  look(): Promise<BootView>;
  /**
   * The boot loader does not boot this slot until it is put on trial again. Call this for the slot
   * that is about to be overwritten, and for a bad slot on trial that runs: the next boot goes
   * back.
   * @throws DroverError BOOT_SLOT_KEPT for the slot that is confirmed
   */
  spoil(slot: SystemSlot): Promise<void>;
  /**
   * The boot loader boots this slot for this number of boots, and then returns to the confirmed
   * slot by itself. Used tries are granted again.
   * @throws DroverError BOOT_SLOT_KEPT for the slot that is confirmed
   */
  tryNext(slot: SystemSlot, tries: number): Promise<void>;
  /**
   * The boot loader returns to this slot from now on. The state of the other slot stays; only
   * a boot loader that does not report which slot is confirmed may end a trial of the other slot.
   * @throws DroverError BOOT_SLOT_NOT_RUNNING
   */
  confirm(slot: SystemSlot): Promise<void>;
}

export const isSystemSlot = (text: string): text is SystemSlot => ID_PATTERN.test(text);

/**
 * @param hint in place of the one about the kernel command line
 * @throws DroverError BOOT_SLOT_UNKNOWN
 */
export function asSystemSlot(text: string, from: string, hint?: string): SystemSlot {
  if (isSystemSlot(text)) return text;
  const message = `read ${from}: no name of a slot (got ${JSON.stringify(text.slice(0, 80))})`;
  throw new DroverError('BOOT_SLOT_UNKNOWN', message, hint === undefined ? {} : { hint });
}

/** Returns the other one of two slots; null for a slot that is neither of them. */
export function counterpart(
  slots: readonly [SystemSlot, SystemSlot],
  slot: SystemSlot,
): SystemSlot | null {
  if (slot === slots[0]) return slots[1];
  return slot === slots[1] ? slots[0] : null;
}

/**
 * The other slot of a boot loader that knows two names.
 * @param from where the name of the running slot was read
 * @throws DroverError BOOT_SLOT_UNKNOWN for a third name: nothing may be written under it
 */
export function otherOf(
  slots: readonly [SystemSlot, SystemSlot],
  running: SystemSlot,
  from: string,
): SystemSlot {
  const other = counterpart(slots, running);
  if (other !== null) return other;
  throw unknownSlot(running, slots, from);
}

/**
 * Asserts that the slots which a boot side tells of are those that the agent has devices for.
 * @throws DroverError BOOT_SLOT_UNKNOWN
 */
export function assertConfigured(
  { running, other }: Pick<BootSlots, 'running' | 'other'>,
  devices: ReadonlyMap<string, string>,
): void {
  for (const slot of [running, other]) {
    if (devices.has(slot)) continue;
    throw unknownSlot(slot, [...devices.keys()], 'the boot side (--slot-device names the slots)');
  }
}

function unknownSlot(slot: string, known: readonly string[], from: string): DroverError {
  const why = `no such slot (got ${slot}, want ${known.join(' or ')}; names are case-sensitive)`;
  return new DroverError('BOOT_SLOT_UNKNOWN', `read ${from}: ${why}`);
}

/** Asserts that a slot is one of the two: any other is a mistake of the caller. */
export function assertOneOfTwo({ running, other }: BootSlots, slot: SystemSlot): void {
  if (slot === running || slot === other) return;
  throw new DroverError(
    'BOOT_SLOT_UNKNOWN',
    `change slot ${slot}: there is none (got ${slot}, want ${running} or ${other})`,
  );
}

/** The confirmed slot is the way back: it is never overwritten and never put on trial. */
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

/** Asserts that a trial has at least one boot and at most one digit of them; else it is a bug. */
export function assertTries(tries: number): void {
  if (Number.isInteger(tries) && tries >= 1 && tries <= LIMITS.bootTriesMax) return;
  throw new TypeError(`tryNext: ${tries} tries (want 1 to ${LIMITS.bootTriesMax})`);
}
