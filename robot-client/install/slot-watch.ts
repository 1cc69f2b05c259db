/**
 * Keeps what a component knows of its slots and of what else stands in its root. People change them
 * while the agent runs, so they are looked at again before anything is decided on them.
 */

import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Layout } from './layout.ts';
import type { Disk } from './disk-port.ts';
import type { Left } from './prune-plan.ts';
import { NO_SLOTS, slotProblem, versionOf, type Slots } from './slots.ts';
import { readSlots } from './read-slots.ts';
import type { Claims } from './root-claims.ts';

export class SlotWatch {
  readonly #disk: Disk;
  readonly #layout: Layout;
  readonly #claims: Claims | undefined;
  slots: Slots = NO_SLOTS;
  /** As the last clean-up found it. */
  left: readonly Left[] = [];
  sinceMs: EpochMs = 0;
  /** Why a plain folder could not be taken over at the start. */
  adoption: Problem | null = null;
  #told: string | null = null;

  constructor(on: { disk: Disk; layout: Layout; claims?: Claims | undefined }) {
    this.#disk = on.disk;
    this.#layout = on.layout;
    this.#claims = on.claims;
  }

  get active(): string | null {
    return versionOf(this.slots.active);
  }

  get rollback(): string | null {
    return versionOf(this.slots.rollback);
  }

  /** The slots stay as they were known while another folder stands at the path of the root. */
  async read(): Promise<void> {
    const stray = await this.#claims?.stray?.(this.#layout.root);
    if (stray?.code === 'ROOT_REPLACED') return;
    const { active, rollback } = await readSlots(this.#disk, this.#layout);
    const { adoption } = this;
    const isPlain = active.kind === 'foreign' && active.problem.code === 'SLOT_FOLDER';
    const told = isPlain && adoption ? { ...active, problem: adoption } : active;
    this.slots = { active: told, rollback };
  }

  /** Reads the slots again; true when what is wrong with them is not what it was. */
  async look(now: EpochMs): Promise<{ isNew: boolean; problem: Problem | null }> {
    await this.read();
    const problem = slotProblem(this.slots);
    const key = problem && `${problem.code} ${problem.message}`;
    const isNew = key !== this.#told;
    if (isNew) this.sinceMs = now;
    this.#told = key;
    return { isNew, problem };
  }
}
