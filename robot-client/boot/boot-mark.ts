/**
 * The memory that Drover keeps with a boot loader which has none for slots of its own (GRUB,
 * U-Boot): the slot that is confirmed, and one character on the other one. A script of the boot
 * loader reads the same two.
 * Sans-I/O.
 */

import {
  assertNotConfirmed,
  assertOneOfTwo,
  assertRunning,
  assertTries,
  type BootSlots,
  type BootView,
  type SystemSlot,
} from './boot-slots.ts';
import { DroverError } from '../../shared/base/errors.ts';

/** `x` spoiled, `+` a way back, a digit: on trial with so many tries left. */
export type OtherMark = 'x' | '+' | `${bigint}`;

export interface BootMark {
  readonly confirmed: SystemSlot;
  readonly other: OtherMark;
}

/** Names of the slots of such a boot loader: one letter each, as its script knows them. */
export const MARKED_SLOTS = ['A', 'B'] as unknown as readonly [SystemSlot, SystemSlot];

const MARK = /^([AB]),([x+0-9])$/;

/** Null for what is none. */
export function parseMark(text: string): BootMark | null {
  const [, confirmed, other] = MARK.exec(text) ?? [];
  if (confirmed === undefined || other === undefined) return null;
  return { confirmed: confirmed as SystemSlot, other: other as OtherMark };
}

export const encodeMark = ({ confirmed, other }: BootMark): string => `${confirmed},${other}`;

const otherOf = (slot: SystemSlot): SystemSlot =>
  slot === MARKED_SLOTS[0] ? MARKED_SLOTS[1] : MARKED_SLOTS[0];

const triesOf = (other: OtherMark): number | null => (/\d/.test(other) ? Number(other) : null);

/** Null: the memory is empty or damaged, and the boot loader begins with the first slot. */
function viewOf(mark: BootMark | null): BootView {
  if (mark === null) return { confirmed: null, next: null, triesLeft: null, spoiled: [] };
  const { confirmed, other } = mark;
  const triesLeft = triesOf(other);
  const next = (triesLeft ?? 0) > 0 ? otherOf(confirmed) : confirmed;
  return { confirmed, next, triesLeft, spoiled: other === 'x' ? [otherOf(confirmed)] : [] };
}

/** Where a mark is kept. */
export interface MarkStore {
  /** What the boot loader would read now; null for nothing, or for what is damaged. */
  read(): Promise<BootMark | null>;
  /** Durable when it returns; a power cut leaves the mark before or this one. */
  write(mark: BootMark): Promise<void>;
  /** For messages: where it is. */
  readonly place: string;
}

/** The port over such a memory. */
export class MarkedSlots implements BootSlots {
  readonly running: SystemSlot;
  readonly other: SystemSlot;
  readonly #store: MarkStore;

  constructor(running: SystemSlot, store: MarkStore) {
    this.running = running;
    this.other = otherOf(running);
    this.#store = store;
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
    // With nothing remembered, nobody knows whether the other slot is whole.
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
    // Written also where it says so already: of two copies one may be behind.
    await this.#store.write({ confirmed: mark.confirmed, other });
  }
}
