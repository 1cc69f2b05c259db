/**
 * Keeps the slots of a component and the other entries of its root in memory. People change them
 * while the agent runs, so they are read again before each decision that depends on them.
 */

import { nullIfFailed, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { MachineState } from './state.ts';
import type { Cleaned } from './clean-up.ts';
import type { Left } from '../install/prune-plan.ts';
import type { Damage } from '../install/seal.ts';
import { NO_SLOTS, outsideProblems, slotProblem, versionOf, type Slots } from '../install/slots.ts';
import { slotsWith } from './unlinked.ts';
import { ATOMIC_SWAP } from '../../shared/formats/apply-strategy.ts';
import { readSlots } from '../install/read-slots.ts';
import { readStrategy } from '../install/strategy-file.ts';
import type { Claims } from '../install/root-claims.ts';

export class SlotWatch {
  readonly #disk: Disk;
  readonly #layout: Layout;
  readonly #claims: Claims | undefined;
  readonly #log: Log | undefined;
  slots: Slots = NO_SLOTS;
  /** Says what `active` has to lead to. */
  #state: MachineState | null = null;
  /** The result of the last clean-up. */
  left: readonly Left[] = [];
  sinceMs: EpochMs = 0;
  /** Why a plain folder could not be taken over at the start. */
  adoption: Problem | null = null;
  /** A release in a slot that is not whole, as the last clean-up found it. */
  damage: Damage | null = null;
  /** The strategy of the release that `active` leads to, when a module applies it. */
  module: string | null = null;
  #told: string | null = null;
  /** Why the mark of the confirmed version could not be written, as it was logged. */
  #unmarked: string | null = null;

  constructor(on: { disk: Disk; layout: Layout; claims?: Claims | undefined; log?: Log }) {
    this.#log = on.log;
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

  /**
   * The slots stay as they were while another folder, or a bare mount point, is at the path of the
   * root.
   * @param state the new state of the component, when it has changed
   */
  async read(state?: MachineState): Promise<void> {
    if (state) this.#state = state;
    if (await this.#isElsewhere()) return;
    const found = await readSlots(this.#disk, this.#layout);
    const { active, rollback } = this.#state ? slotsWith(found, this.#state) : found;
    const { adoption } = this;
    const isPlain = active.kind === 'foreign' && active.problem.code === 'SLOT_FOLDER';
    const told = isPlain && adoption ? { ...active, problem: adoption } : active;
    const module = await this.#moduleOf(versionOf(told));
    if (await this.#isElsewhere()) return; // unmounted while it was read: not what the root holds
    this.slots = { active: told, rollback };
    this.module = module;
  }

  /** Another folder, or a bare mount point, is at the path of the root. */
  async #isElsewhere(): Promise<boolean> {
    const stray = await this.#claims?.stray?.(this.#layout.root);
    return stray?.code === 'ROOT_REPLACED' || stray?.code === 'ROOT_NOT_MOUNTED';
  }

  /** The strategy file is stored with the release, and counts before the state. */
  async #moduleOf(version: string | null): Promise<string | null> {
    if (version === null) return null;
    const strategy = await nullIfFailed(readStrategy(this.#disk, this.#layout, version));
    return strategy === ATOMIC_SWAP ? null : strategy;
  }

  /** Keeps what a clean-up found. */
  cleaned({ left, damage, sealedAsFound, unmarked }: Cleaned): void {
    [this.left, this.damage] = [left, damage];
    this.#noteUnmarked(unmarked);
    if (sealedAsFound.length === 0) return;
    this.#log?.warn({ sealedAsFound }, 'sealed as found: there is no recipe to compare with');
  }

  /**
   * Logs a mark that cannot be written, once for each cause. It is no problem of the robot: only
   * lost state together with a sick disk at boot would need the mark.
   */
  #noteUnmarked(problem: Problem | null): void {
    const cause = problem && `${problem.code} ${problem.message}`;
    if (problem && cause !== this.#unmarked) {
      this.#log?.warn({ problem }, 'the confirmed version could not be marked as confirmed');
    }
    this.#unmarked = cause;
  }

  /** Reads the slots again; true when what is wrong with them is not what it was. */
  async refresh(now: EpochMs): Promise<{ isNew: boolean; problem: Problem | null }> {
    await this.read();
    const [outside = null] = outsideProblems(this.slots);
    const problem = slotProblem(this.slots) ?? this.damage ?? outside;
    const key = problem && `${problem.code} ${problem.message}`;
    const isNew = key !== this.#told;
    if (isNew) this.sinceMs = now;
    this.#told = key;
    return { isNew, problem };
  }
}
