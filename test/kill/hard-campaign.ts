/** Rounds of every hard case, each with a seed that plays it again. */

import type { Scope } from '../helpers/scope.ts';
import {
  killAdoption,
  killBrokerToo,
  killRecover,
  startTwoAgents,
  stopAgent,
} from './hard-cases.ts';
import { HardRound } from './hard-round.ts';
import { makeRandom } from './kill-plan.ts';
import { KillSite } from './kill-site.ts';
import { fillDisk, killDisk, refuseWrites, remountReadOnly, type SickInput } from './sick-disks.ts';

/** 1 MiB in 60 files. */
const APP = { fileCount: 60, fileBytes: 16_000, chunkBytes: 64 * 1024 };

const onRoot =
  (run: (round: HardRound) => Promise<void>) =>
  async (_: Scope, { site, robot, random }: SickInput): Promise<HardRound> => {
    const round = new HardRound(site, robot, { root: site.rootOf(robot), random });
    await run(round);
    return round;
  };

export const HARD_CASES = {
  'recover killed': onRoot(killRecover),
  'adoption killed': onRoot(killAdoption),
  'two agents at one instant': onRoot(startTwoAgents),
  'broker and agent killed at one instant': onRoot(killBrokerToo),
  'agent stopped for longer than its keepalive': onRoot(stopAgent),
  'disk full in mid-update': fillDisk,
  'disk read-only in mid-update': remountReadOnly,
  'disk refuses writes in mid-update': refuseWrites,
  'disk dead in mid-update': killDisk,
} as const;

export type HardCase = keyof typeof HARD_CASES;

export class HardCampaign {
  readonly #site: KillSite;
  /** Rounds in which the robot reported the reason with this very update, by case. */
  readonly told = new Map<HardCase, number>();
  #rounds = 0;

  private constructor(site: KillSite) {
    this.#site = site;
  }

  static async open(scope: Scope): Promise<HardCampaign> {
    return new HardCampaign(await KillSite.open(scope, APP));
  }

  /** @returns what was wrong; empty when all held */
  async round(scope: Scope, name: HardCase, seed: number): Promise<string[]> {
    this.#rounds += 1;
    const input = { site: this.#site, robot: `h${this.#rounds}`, random: makeRandom(seed) };
    try {
      const { violations, heard } = await HARD_CASES[name](scope, input);
      if (heard === 'of it') this.told.set(name, (this.told.get(name) ?? 0) + 1);
      return violations.map((one) => `${name}, seed ${seed}: ${one}`);
    } catch (error) {
      return [`${name}, seed ${seed}: ${String(error)}`];
    }
  }
}
