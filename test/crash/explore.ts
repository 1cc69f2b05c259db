/**
 * Walks through a scenario and collects the states that a power cut can leave after each operation
 * of it; then those of a process that is killed after each operation (the power stays on, so
 * nothing is lost yet), is recovered, and loses power in the middle of that; and those of a power
 * cut in the middle of a recovery that changed something. The judge checks each state.
 */

import { Share } from '../helpers/share.ts';
import { imageKey, type FolderImage } from './disk-image.ts';
import { crashStates, visibleImage } from './crash-states.ts';
import { machineText, type Judge } from './judge.ts';
import { ModelDisk, type ModelHooks } from './model-disk.ts';
import { recover, Robot, type Release } from './robot.ts';
import { SYNC_ALL_FROM, type Scenario } from './scenarios.ts';

/** Syncs of the product by place in its sources; the test leaves one out at a time. */
export type SkipSync = NonNullable<ModelHooks['skipSync']>;

export interface ExploreInput {
  readonly scenario: Scenario;
  readonly release: Release;
  readonly judge: Judge;
  readonly hooksFolder: string;
  readonly skipSync?: SkipSync;
  /** Of the states, kills and recoveries; all by default. */
  readonly share?: Share;
  /** Without kills and cuts in the middle of a recovery. */
  readonly updateOnly?: boolean;
  /** A mutant is caught with the first state that is wrong. */
  readonly stopAtFirst?: boolean;
}

export interface Exploration {
  /** Operations after which the power was cut. */
  readonly operations: number;
  /** Different states of them. */
  readonly states: number;
  /** Of them those that were judged. */
  readonly judged: number;
  readonly wrong: readonly string[];
}

export async function explore(input: ExploreInput): Promise<Exploration> {
  return await new Explorer(input).run();
}

/** The states that the robot wrote into its file, and the number of them that it reported. */
interface Memory {
  readonly written: (string | null)[];
  told: number;
}

interface Powered {
  readonly disk: ModelDisk;
  readonly memory: Memory;
  /** The operation that came last. */
  readonly at: string;
}

interface Found {
  readonly image: FolderImage;
  readonly at: string;
}

/** The last operation of the way, without versions and hashes. */
const kindOf = ({ at }: Found | Powered): string => {
  const steps = at.split('; ');
  const last = (steps.at(-1) ?? '')
    .replaceAll(/[0-9a-f]{32}/g, '#')
    .replaceAll(/\d+\.\d+\.\d+/g, '#');
  return `${steps.length > 1 ? 'in recovery ' : ''}${last}`;
};

class Explorer {
  readonly #input: ExploreInput;
  readonly #states = new Set<string>();
  readonly #fresh: Found[] = [];
  readonly #wrong: string[] = [];
  readonly #share: Share;
  #operations = 0;
  #judged = 0;

  constructor(input: ExploreInput) {
    this.#input = input;
    this.#share = input.share ?? new Share(1, 0);
  }

  get #isOver(): boolean {
    return this.#input.stopAtFirst === true && this.#wrong.length > 0;
  }

  async run(): Promise<Exploration> {
    const killed = await this.#cutUpdate();
    const acted = await this.#judgeNew();
    if (this.#input.updateOnly !== true) await this.#cutRecoveries(killed, acted);
    const wrong = this.#wrong.map((one) => `${this.#input.scenario.name}: ${one}`);
    return {
      ...{ operations: this.#operations, states: this.#states.size, judged: this.#judged },
      wrong,
    };
  }

  async #cutRecoveries(killed: readonly Powered[], acted: readonly Found[]): Promise<void> {
    for (const powered of this.#share.of(killed, kindOf)) {
      if (this.#isOver) break;
      await this.#cutRecovery({ ...powered, at: `${powered.at}, killed` });
      await this.#judgeNew();
    }
    for (const { image, at } of this.#share.of(acted, kindOf)) {
      if (this.#isOver) break;
      const memory = { written: [machineText(image)], told: 0 };
      await this.#cutRecovery({ disk: new ModelDisk(image), memory, at: `${at}, cut` });
      await this.#judgeNew();
    }
  }

  /** The whole scenario; returns the disk as it was after each operation, still powered. */
  async #cutUpdate(): Promise<Powered[]> {
    const { scenario, release, hooksFolder } = this.#input;
    const memory: Memory = { written: [machineText(scenario.start)], told: 0 };
    const killed: Powered[] = [];
    const disk = new ModelDisk(scenario.start);
    disk.syncAllFromFiles = scenario.syncAllFrom ?? SYNC_ALL_FROM;
    this.#watch(disk, memory, '', (at) => {
      killed.push({
        disk: disk.clone({}),
        memory: { ...memory, written: [...memory.written] },
        at,
      });
    });
    const robot = new Robot({
      disk,
      release,
      hooksFolder: scenario.sick === undefined ? '/no-hooks' : hooksFolder,
      onTold: (phase) => {
        memory.told = memory.written.length - 1;
        this.#collect(disk, memory, `told ${phase}`);
      },
    });
    try {
      await scenario.run(robot);
    } finally {
      await robot.component.close();
    }
    return killed;
  }

  /** `recover` on that disk, with the power cut after each of its operations. */
  async #cutRecovery({ disk, memory, at }: Powered): Promise<void> {
    this.#watch(disk, memory, `${at}; recover`);
    try {
      await recover(disk, this.#input.release);
    } catch (error) {
      this.#wrong.push(`${at}; recover threw ${String(error)}`);
    }
    memory.told = memory.written.length - 1;
    this.#collect(disk, memory, `${at}; recovered`);
  }

  #watch(disk: ModelDisk, memory: Memory, before: string, then?: (at: string) => void): void {
    const { skipSync } = this.#input;
    const onOperation = (name: string, path: string): void => {
      if (this.#isOver) return;
      this.#operations += 1;
      if (name === 'rename' && path.endsWith('/machine.json')) {
        memory.written.push(machineText(visibleImage(disk)));
      }
      const at = `${before} ${name} ${path}`;
      this.#collect(disk, memory, at);
      then?.(at);
    };
    disk.hooks = { onOperation, ...(skipSync && { skipSync }) };
  }

  #collect(disk: ModelDisk, memory: Memory, at: string): void {
    const remembered = memory.written.slice(memory.told);
    for (const image of crashStates(disk)) {
      const key = imageKey(image);
      if (!remembered.includes(machineText(image))) {
        this.#wrong.push(`${at}: the state file does not remember what was told`);
      }
      if (this.#states.has(key)) continue;
      this.#states.add(key);
      this.#fresh.push({ image, at });
    }
  }

  /** Judges what was found since the last time; returns the states that had a recovery to do. */
  async #judgeNew(): Promise<Found[]> {
    const { judge, scenario } = this.#input;
    const acted: Found[] = [];
    for (const found of this.#share.of(this.#fresh.splice(0), kindOf)) {
      if (this.#isOver) break;
      this.#judged += 1;
      const judgement = await judge.judge(found.image, scenario);
      if (judgement.wrong !== null) this.#wrong.push(`${found.at}: ${judgement.wrong}`);
      if (judgement.acted) acted.push(found);
    }
    return acted;
  }
}
