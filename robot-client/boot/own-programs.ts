/**
 * Uses five programs of the integrator, in one folder, for a boot loader that Drover does not know:
 * `running` and `other` print the name of a slot; `spoil SLOT`, `try-next SLOT TRIES` and `confirm
 * SLOT` change which slot boots. Each can be called again after a power cut, and its result is
 * durable when it ends with 0.
 */

import {
  assertOneOfTwo,
  assertRunning,
  assertTries,
  asSystemSlot,
  type BootSlots,
  type BootView,
  type SystemSlot,
} from './boot-slots.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { assertRunnable, runBootProgram } from './run-program.ts';

/** The programs in the folder. */
export const BOOT_VERBS = ['running', 'other', 'spoil', 'try-next', 'confirm'] as const;

const OWN_HINT =
  'run both programs by hand: running prints one name, that of the slot that runs, and other prints the other one';

export class OwnPrograms implements BootSlots {
  readonly running: SystemSlot;
  readonly other: SystemSlot;
  readonly #folder: string;

  private constructor(folder: string, slots: { running: SystemSlot; other: SystemSlot }) {
    this.#folder = folder;
    this.running = slots.running;
    this.other = slots.other;
  }

  /** @throws DroverError BOOT_TOOL_FAILED, BOOT_SLOT_UNKNOWN */
  static async open(folder: string): Promise<OwnPrograms> {
    const ask = async (verb: 'running' | 'other'): Promise<SystemSlot> => {
      const path = `${folder}/${verb}`;
      return asSystemSlot((await runBootProgram(path, [])).trim(), path, OWN_HINT);
    };
    const slots = { running: await ask('running'), other: await ask('other') };
    if (slots.running !== slots.other) return new OwnPrograms(folder, slots);
    const why = `running and other name one slot (got ${slots.running} twice)`;
    throw new DroverError('BOOT_SLOT_UNKNOWN', `ask ${folder}: ${why}`, { hint: OWN_HINT });
  }

  async assertComplete(): Promise<void> {
    for (const verb of ['spoil', 'try-next', 'confirm']) {
      await assertRunnable(`${this.#folder}/${verb}`);
    }
  }

  /** These programs report only which slot runs. */
  look(): Promise<BootView> {
    return Promise.resolve({ confirmed: null, next: null, triesLeft: null, spoiled: [] });
  }

  async spoil(slot: SystemSlot): Promise<void> {
    assertOneOfTwo(this, slot);
    await runBootProgram(`${this.#folder}/spoil`, [slot]);
  }

  async tryNext(slot: SystemSlot, tries: number): Promise<void> {
    assertTries(tries);
    assertOneOfTwo(this, slot);
    await runBootProgram(`${this.#folder}/try-next`, [slot, String(tries)]);
  }

  async confirm(slot: SystemSlot): Promise<void> {
    assertOneOfTwo(this, slot);
    assertRunning(slot, this);
    await runBootProgram(`${this.#folder}/confirm`, [slot]);
  }
}
