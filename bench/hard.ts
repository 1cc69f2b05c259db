/**
 * `npm run bench -- hard [N] [--seed S]`: N rounds of each hard case, which are real kills of all but
 * an agent alone (that is `kills`): `recover`, adoptions, two agents, broker and agent, stopped
 * agents, and disks that turn full, read-only or dead. Default 50. Fails on any violation; runs of
 * 5 rounds and more are recorded.
 */

import { randomInt } from 'node:crypto';
import { DroverError } from '../shared/base/errors.ts';
import { HARD_CASES, HardCampaign, type HardCase } from '../test/kill/hard-campaign.ts';
import { withCleanUp } from './clean-up.ts';
import { appendResult } from './results.ts';

const ROUNDS_DEFAULT = 50;
const RECORDED_FROM = 5;
const SEEDS = 1_000_000;
/** Rounds that share a broker. */
const OF_A_SITE = 10;

function parseArgs(args: readonly string[]): { rounds: number; seed: number } {
  const at = args.indexOf('--seed');
  const seed = at < 0 ? randomInt(SEEDS) : Number(args[at + 1]);
  const rounds = Number(at === 0 ? ROUNDS_DEFAULT : (args[0] ?? ROUNDS_DEFAULT));
  if (Number.isSafeInteger(rounds) && rounds > 0 && Number.isSafeInteger(seed))
    return { rounds, seed };
  throw new DroverError('USAGE', 'run bench hard: want [rounds] [--seed number]');
}

export async function benchHard(args: readonly string[]): Promise<void> {
  const { rounds, seed } = parseArgs(args);
  console.log(`seed ${seed}`);
  const startedAt = performance.now();
  const violations: string[] = [];
  const rows: (string | number)[][] = [];
  for (const name of Object.keys(HARD_CASES) as HardCase[]) {
    const before = violations.length;
    let told = 0;
    for (let from = 0; from < rounds; from += OF_A_SITE) {
      const count = Math.min(OF_A_SITE, rounds - from);
      told += await withCleanUp(async (site) => {
        const campaign = await HardCampaign.open(site);
        for (let at = 0; at < count; at += 1) {
          const round = withCleanUp((scope) => campaign.round(scope, name, seed + from + at));
          const found = await round;
          for (const one of found) console.log(one);
          violations.push(...found);
        }
        return campaign.told.get(name) ?? 0;
      });
    }
    const isDisk = name.startsWith('disk ') && name !== 'disk dead in mid-update';
    rows.push([name, rounds, isDisk ? told : '', violations.length - before]);
    console.log(rows.at(-1)?.join(' | '));
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  if (rounds >= RECORDED_FROM) {
    await appendResult(
      `${rounds} rounds of each hard case (${seconds} s)`,
      `npm run bench -- hard ${rounds} --seed ${seed}`,
      { columns: ['case', 'rounds', 'fleet told of that update', 'violations'], rows },
    );
  }
  if (violations.length > 0) throw new Error(violations.join('\n'));
}
