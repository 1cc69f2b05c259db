/**
 * Keeps the state of a component on the disk. A state that the disk refused is kept as a problem,
 * which the component reports, and is written again until the disk has it: until then a power cut
 * would take the robot back to an older one.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import type { MachineEvent } from './machine.ts';
import type { MachineState } from './state.ts';
import { keepMachineState } from './state-file.ts';

export interface StateKeeperOptions {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly log: Log;
  now(): EpochMs;
}

export class StateKeeper {
  readonly #options: StateKeeperOptions;
  /** Calls `again` in the queue of the component. */
  readonly #again: () => void;
  #unkept: { readonly problem: Problem; readonly atMs: EpochMs } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  /** @param again asks the component to save its state again */
  constructor(options: StateKeeperOptions, again: () => void) {
    this.#options = options;
    this.#again = again;
  }

  /** Why the disk does not have the newest state, and since when; null when it has. */
  get unkept(): { readonly problem: Problem; readonly atMs: EpochMs } | null {
    return this.#unkept;
  }

  /** @returns why the state could not be written, even after making room; null when it was */
  async keep(state: MachineState): Promise<Problem | null> {
    const { disk, layout, log, now } = this.#options;
    const known = this.#unkept;
    const problem = await keepMachineState(disk, layout, state);
    const isSame = known?.problem.message === problem?.message;
    if (problem && !isSame) log.error({ problem }, 'state could not be written');
    if (known && !problem) log.info({}, 'the state that the disk refused was written');
    const isAsKnown = known && known.problem.code === problem?.code;
    this.#unkept = problem && { problem, atMs: isAsKnown ? known.atMs : now() };
    if (problem) this.#wake();
    return problem;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  #wake(): void {
    if (this.#closed) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#again(), LIMITS.retrySoonMs);
  }
}

/**
 * The event to take instead when the disk did not store the state after one: nothing may be swapped
 * then, and a trial that fails would be ordered again after each restart. Null to go on.
 */
export function unlessStored(
  event: MachineEvent,
  { phase, job }: MachineState,
  problem: Problem,
): MachineEvent | null {
  if (event.kind === 'ready' || event.kind === 'prepared') return { kind: 'refused', problem };
  // The leader may count on a component only when a power cut cannot undo its answer.
  if (event.kind === 'well' && job?.commitId && job.health === 'well')
    return { kind: 'unhealthy', problem };
  // On the way back it goes on: a full disk must not keep the robot on a bad version.
  if (event.kind !== 'told' || phase !== 'rebooting') return null;
  const message = `note the order to the boot loader: ${problem.message} (${problem.code})`;
  return { kind: 'swap_failed', problem: toProblem(new DroverError('SWAP_FAILED', message)) };
}
