/**
 * Opens the root of a component for the agent. A disk that refuses does not end the agent: missing
 * parts of the root are reported, and created before the next update.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { BootMoment } from '../boot/boot-slots.ts';
import { withdrawStrayOrder } from '../boot/stray-order.ts';
import { bootMoment, type SystemSide } from '../boot/system-side.ts';
import type { Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import { withStrayOrder } from '../update/lost-state.ts';
import { freshState, type MachineState } from '../update/state.ts';
import { adoptActiveFolder } from './adopt.ts';
import { takeCleanMark } from '../install/marks.ts';
import { refusedWrite } from '../update/assert-swappable.ts';
import { foreignRoot, nameRoot } from '../install/root-name.ts';
import { UNCLAIMED, type Claims } from '../install/root-claims.ts';
import {
  closedState,
  lostState,
  readMachineState,
  writeMachineState,
} from '../update/state-file.ts';
import { prepareLayout } from '../install/make-root.ts';

/** Another folder is in the place of the root: the links of this one cannot be trusted. */
const ELSEWHERE = new Set<string | undefined>(['ROOT_REPLACED', 'ROOT_NOT_MOUNTED']);
const STRAY = new Set<string | undefined>(['ROOT_REPLACED', 'STATE_GONE']);

interface RootOptions {
  readonly component: string;
  readonly disk: Disk;
  readonly layout: Layout;
  readonly claims?: Claims | undefined;
  /** The boot loader, for the component of the system images. */
  readonly system?: Pick<SystemSide, 'open'> | undefined;
  readonly log?: Log | undefined;
  /** The boot in which this runs; default that of the kernel. */
  readonly moment?: (() => BootMoment | null) | undefined;
}

export class RootOpener {
  readonly #on: RootOptions;
  readonly #disk: Disk;
  readonly #layout: Layout;
  readonly #claims: Claims;
  readonly #component: string;
  /** The error of the disk; null when the root is complete. */
  problem: Problem | null = null;
  /** False until the root is ours, with a state that we can read: nothing is changed before. */
  isOpen = false;

  readonly moment: () => BootMoment | null;

  constructor(on: RootOptions) {
    this.#on = on;
    this.moment = on.moment ?? bootMoment;
    this.#component = on.component;
    this.#disk = on.disk;
    this.#layout = on.layout;
    this.#claims = on.claims ?? UNCLAIMED;
  }

  /** Why what the root says is not known; null when it is. */
  get closed(): Problem | null {
    return this.isOpen && !ELSEWHERE.has(this.problem?.code) ? null : this.problem;
  }

  /** A state that can be neither read nor set aside counts as lost. */
  async open(
    adoptVersion: string,
    now: EpochMs,
  ): Promise<{ state: MachineState; adoption: Problem | null }> {
    const [disk, layout] = [this.#disk, this.#layout];
    this.problem = null;
    await this.#tried(() => this.#claims.take(layout.root));
    this.problem ??= await closedState(disk, layout);
    await this.#tried(async () => {
      const foreign = await foreignRoot(disk, layout, this.#component);
      if (foreign) throw foreign;
    });
    if (this.problem) return { state: freshState(), adoption: null };
    this.isOpen = true;
    await this.prepare();
    // the next step reports a failure, as below
    await nameRoot(disk, layout, this.#component).catch(() => {});
    await takeCleanMark(disk, layout).catch(() => {}); // the disk refuses: the next step reports it
    const adopted = await this.#tried(() => adoptActiveFolder(disk, layout, adoptVersion));
    const read = await this.#tried(() => readMachineState(disk, layout, now));
    const state = read ?? (await lostState(disk, layout, this.problem, now));
    return { state: await this.#withoutStrayOrder(state, now), adoption: adopted?.problem ?? null };
  }

  /** A boot loader that does not answer yet is asked again while the component rests. */
  async #withoutStrayOrder(state: MachineState, now: EpochMs): Promise<MachineState> {
    const { system, component, log } = this.#on;
    if (!system) return state;
    try {
      const on = { disk: this.#disk, layout: this.#layout, phase: state.phase };
      const problem = await withdrawStrayOrder(await system.open(), on);
      if (!problem) return state;
      log?.warn({ component, problem }, 'an order of the boot loader was taken back');
      return withStrayOrder(state, problem, now);
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      return state;
    }
  }

  /**
   * Creates what is missing; returns why that failed, or null.
   * @param state written again when the root or its state folder was gone
   */
  async prepare(state?: MachineState): Promise<Problem | null> {
    const [disk, layout] = [this.#disk, this.#layout];
    const wasStray = STRAY.has(this.problem?.code);
    this.problem = null;
    await this.#tried(() => prepareLayout(disk, layout));
    await this.#tried(async () => this.#claims.takeReleases?.(layout.root));
    if (state && wasStray && !this.problem)
      await this.#tried(() => writeMachineState(disk, layout, state));
    return await this.probe();
  }

  /** Why the folder at the path of the root is not the opened one; null when it is. */
  async stray(): Promise<Problem | null> {
    const stray = await this.#claims.stray?.(this.#layout.root);
    if (!stray) return null;
    return (this.problem = toProblem(stray));
  }

  /** Detects a disk that turned read-only while nothing was written; returns why, or null. */
  async probe(): Promise<Problem | null> {
    // The kernel checks the mount before it checks the name: nothing is written.
    const { state } = this.#layout;
    await this.#tried(async () => {
      try {
        await this.#disk.unlink(`${state}/.no-such-name`);
      } catch (thrown) {
        throw refusedWrite(state, thrown);
      }
    });
    return this.problem;
  }

  async #tried<T>(run: () => Promise<T>): Promise<T | null> {
    try {
      return await run();
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      this.problem ??= toProblem(thrown);
      return null;
    }
  }
}
