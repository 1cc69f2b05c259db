/**
 * The state that Drover stores for a boot loader that has no slots of its own (GRUB, U-Boot): the
 * confirmed slot, and one character about the other slot. A script of the boot loader reads both.
 * Sans-I/O.
 */

import {
  assertNotConfirmed,
  assertOneOfTwo,
  assertRunning,
  assertTries,
  otherOf,
  type BootSlots,
  type BootView,
  type SystemSlot,
} from './boot-slots.ts';
import { DroverError } from '../../shared/base/errors.ts';

/** `x`: spoiled; `+`: a slot to go back to; a digit: on trial with this number of tries left. */
export type OtherMark = 'x' | '+' | `${bigint}`;

export interface BootMark {
  readonly confirmed: SystemSlot;
  readonly other: OtherMark;
}

/** Names of the slots of such a boot loader: one letter each, as in its script. */
export const MARKED_SLOTS = ['A', 'B'] as unknown as readonly [SystemSlot, SystemSlot];

const MARK = /^([AB]),([x+0-9])$/;

/** Returns null for invalid text. */
export function parseMark(text: string): BootMark | null {
  const [, confirmed, other] = MARK.exec(text) ?? [];
  if (confirmed === undefined || other === undefined) return null;
  return { confirmed: confirmed as SystemSlot, other: other as OtherMark };
}

export const encodeMark = ({ confirmed, other }: BootMark): string => `${confirmed},${other}`;

/** Of a mark, which names no third slot. */
const besides = (slot: SystemSlot): SystemSlot =>
  slot === MARKED_SLOTS[0] ? MARKED_SLOTS[1] : MARKED_SLOTS[0];

const triesOf = (other: OtherMark): number | null => (/\d/.test(other) ? Number(other) : null);

/**
 * A null mark means that the stored state is empty or damaged; the boot loader then starts with the
 * first slot.
 */
function viewOf(mark: BootMark | null): BootView {
  if (mark === null) return { confirmed: null, next: null, triesLeft: null, spoiled: [] };
  const { confirmed, other } = mark;
  const triesLeft = triesOf(other);
  const next = (triesLeft ?? 0) > 0 ? besides(confirmed) : confirmed;
  return { confirmed, next, triesLeft, spoiled: other === 'x' ? [besides(confirmed)] : [] };
}

/** Storage of a mark. */
export interface MarkStore {
  /**
   * Returns the mark that the boot loader would read now; null when there is none or it is damaged.
   */
  read(): Promise<BootMark | null>;
  /** Durable when it resolves. A power cut leaves either the mark before or this one. */
  write(mark: BootMark): Promise<void>;
  /** As of `BootSlots`. */
  assertComplete?(): Promise<void>;
  /** Location of the mark, for messages. */
  readonly place: string;
}

/** The boot port over such a mark. */
export class MarkedSlots implements BootSlots {
  readonly running: SystemSlot;
  readonly other: SystemSlot;
  readonly #store: MarkStore;

  /** @throws DroverError BOOT_SLOT_UNKNOWN for a name that its script does not know */
  constructor(running: SystemSlot, store: MarkStore) {
    this.running = running;
    this.other = otherOf(MARKED_SLOTS, running, 'the slot that runs');
    this.#store = store;
  }

  async assertComplete(): Promise<void> {
    await this.#store.assertComplete?.();
  }

  async look(): Promise<BootView> {
    return viewOf(await this.#store.read());
  }

  async spoil(slot: SystemSlot): Promise<void> {
    await this.#mark(slot, 'x');
  }

  async tryNext(slot: SystemSlot, tries: number): Promise<void> {
    assertTries(tries);
    await this.#mark(slot, `${BigInt(tries)}`);
  }

  async confirm(slot: SystemSlot): Promise<void> {
    assertOneOfTwo(this, slot);
    assertRunning(slot, this);
    const mark = await this.#store.read();
    // Without a mark it is unknown whether the other slot is complete.
    const other = mark === null ? 'x' : mark.confirmed === slot ? mark.other : '+';
    await this.#store.write({ confirmed: slot, other });
  }

  async #mark(slot: SystemSlot, other: OtherMark): Promise<void> {
    assertOneOfTwo(this, slot);
    const mark = await this.#store.read();
    if (mark === null) {
      throw new DroverError(
        'BOOT_STATE_DAMAGED',
        `change slot ${slot}: ${this.#store.place} says of no slot that it is good`,
      );
    }
    assertNotConfirmed(slot, viewOf(mark));
    // Write it even when it is equal: one of two copies may be out of date.
    await this.#store.write({ confirmed: mark.confirmed, other });
  }
}
