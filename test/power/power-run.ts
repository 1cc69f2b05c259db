/**
 * Cuts the power of a recorded life in many places and checks what boots. In each state the file
 * system replays its journal, `drover-robot recover` runs as at a boot, and the independent checker
 * reads what `active` leads to, before and after. In some states the agent then goes on.
 */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inLanes } from '../helpers/lanes.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { makeRandom } from '../kill/kill-plan.ts';
import { CrashDisk } from './crash-disk.ts';
import { kindOf, type FileSystem } from './file-systems.ts';
import {
  recordLife,
  ROBOT_ROOT,
  type Recording,
  type Step,
  type StepName,
} from './power-record.ts';
import { bootProblem, whatBoots } from '../kill/tree-check.ts';
import { flushesFrom, planCrash, spreadFlushes, type CrashState } from './write-log.ts';

export interface PowerOptions {
  readonly fileSystem: FileSystem;
  readonly states: number;
  readonly seed: number;
  /** Runs the agent with fsync taken away: the control that must be found broken. */
  readonly isWithoutFsync: boolean;
  /** In one of so many states the agent goes on to the next version. */
  readonly goOnEvery: number;
  onState?(statesSoFar: number): void;
}

export interface PowerResult {
  states: number;
  tornWrites: number;
  /** FLUSHes of the recorded life, between which the power was cut. */
  flushes: number;
  wentOn: number;
  readonly byStep: Map<StepName, number>;
  /** One line for each state in which something was wrong. */
  readonly broken: string[];
}

const GO_ON_TIMEOUT_MS = 60_000;
/** btrfs knows its disks by an identity that all states of one disk share: one at a time. */
const LANES: Readonly<Record<FileSystem, number>> = { ext4: 2, xfs: 2, btrfs: 1 };

export async function runPowerCuts(scope: Scope, options: PowerOptions): Promise<PowerResult> {
  const { fileSystem, isWithoutFsync, states } = options;
  const random = makeRandom(options.seed);
  const recording = await recordLife(scope, fileSystem, { isWithoutFsync });
  const { entries, logPath, steps } = recording;
  const flushes = flushesFrom(entries, steps[0]?.from ?? 0);
  const result: PowerResult = {
    states: 0,
    tornWrites: 0,
    flushes: flushes.length,
    wentOn: 0,
    byStep: new Map(),
    broken: [],
  };
  const tearSectors = kindOf(fileSystem).tearSectors;
  const plans = chooseFlushes(flushes, steps, states, random).map((flush) =>
    planCrash(entries, flush, random, { tearSectors }),
  );
  const home = await tempFolder(scope);
  const crashes = new CrashDisk(fileSystem, { path: logPath, entries }, join(home, 'base.img'));
  const cuts = new PowerCuts(recording, { crashes, options, result });
  const folderOf = (lane: number): string => join(home, `disk-${lane}`);
  try {
    for (let lane = 0; lane < LANES[fileSystem]; lane += 1) await mkdir(folderOf(lane));
    await inLanes(LANES[fileSystem], plans, (plan, lane) => cuts.cut(plan, folderOf(lane)));
  } finally {
    crashes.close();
  }
  return result;
}

/** As many states of each step, however many FLUSHes it has; in the order of the log. */
function chooseFlushes(
  flushes: readonly number[],
  steps: readonly Step[],
  states: number,
  random: () => number,
): number[] {
  const chosen = steps.flatMap(({ from, to }, at) => {
    const count =
      Math.floor((states * (at + 1)) / steps.length) - Math.floor((states * at) / steps.length);
    const own = flushes.filter((flush) => flush >= from && flush < to);
    return spreadFlushes(own.length > 0 ? own : flushes, count, random);
  });
  return chosen.sort((a, b) => a - b);
}

class PowerCuts {
  readonly #recording: Recording;
  readonly #crashes: CrashDisk;
  readonly #options: PowerOptions;
  readonly #result: PowerResult;
  /** One agent at a time goes on: they share an id. */
  #goingOn: Promise<unknown> = Promise.resolve();
  #made = 0;

  constructor(
    recording: Recording,
    more: { crashes: CrashDisk; options: PowerOptions; result: PowerResult },
  ) {
    this.#recording = recording;
    this.#crashes = more.crashes;
    this.#options = more.options;
    this.#result = more.result;
  }

  async cut(plan: CrashState, folder: string): Promise<void> {
    const number = (this.#made += 1);
    // A file of its own: the namespace of another process may keep an earlier image mounted.
    const image = `${folder}-${number}.img`;
    this.#crashes.make(plan, image);
    const steps = this.#recording.steps.filter(
      ({ from, to }) => from <= plan.until && to > plan.flush,
    );
    const problems = await this.#problems({ image, folder, steps, number });
    await rm(image);
    const result = this.#result;
    const name = steps[0]?.name ?? 'rollback';
    result.byStep.set(name, (result.byStep.get(name) ?? 0) + 1);
    result.tornWrites += plan.tornCount;
    result.states += 1;
    if (problems.length > 0) {
      const where = `${name}, flush ${plan.flush}, ${plan.arrivals.length} of the writes to ${plan.until}`;
      result.broken.push(`${where}: ${problems.join('; ')}`);
    }
    this.#options.onState?.(result.states);
  }

  async #problems(state: {
    image: string;
    folder: string;
    steps: readonly Step[];
    number: number;
  }): Promise<string[]> {
    const { image, folder, steps, number } = state;
    try {
      return await this.#crashes.mounted(image, folder, async () => {
        const problems = await this.#boot(join(folder, ROBOT_ROOT), steps);
        if (problems.length === 0 && number % this.#options.goOnEvery === 0) {
          const turn = this.#goingOn.then(() => this.#goOn(join(folder, ROBOT_ROOT)));
          this.#goingOn = turn.catch(() => undefined); // its own state tells
          await turn;
        }
        return problems;
      });
    } catch (error) {
      return [String(error)];
    }
  }

  async #boot(root: string, steps: readonly Step[]): Promise<string[]> {
    const { known, site } = this.#recording;
    const may = steps.flatMap((step) => step.may);
    const problems: string[] = [];
    const before = await bootProblem(root, known, may);
    // An adoption has an instant without `active`: this is why `recover` runs at each boot.
    const isExcused =
      before === 'active is missing' && steps.some(({ name }) => name === 'adoption');
    if (before !== null && !isExcused) problems.push(`before recover: ${before}`);
    const recover = site.startRecover('r1', { root });
    const { code } = await recover.exit;
    if (code !== 0) problems.push(recover.describe());
    const after = await bootProblem(root, known, may);
    if (after !== null) problems.push(`after recover: ${after}`);
    return problems;
  }

  async #goOn(root: string): Promise<void> {
    const { site, known, next } = this.#recording;
    const agent = site.startAgent('r1', { root });
    try {
      await waitUntil(
        `the robot to go on to ${next.version}`,
        async () => {
          if (agent.ended) throw new Error('the agent ended');
          return (await whatBoots(root, known)).app?.version === next.version;
        },
        { timeoutMs: GO_ON_TIMEOUT_MS, look: () => agent.describe() },
      );
      this.#result.wentOn += 1;
    } finally {
      await agent.stop();
    }
  }
}
