/**
 * `npm run bench -- kills [N] [--seed S]`: SIGKILLs real agents N times in the middle of real
 * updates and checks after each what would boot. Default 1,000 kills. Fails on any violation, and
 * then names the command that plays the update again; only campaigns of 100 kills and more are
 * recorded.
 */

import { randomInt } from 'node:crypto';
import { PHASES } from '../shared/formats/messages.ts';
import { runCampaign, type CampaignResult } from '../test/kill/campaign.ts';
import { DroverError } from '../shared/base/errors.ts';
import { appendResult } from './results.ts';

const KILLS_DEFAULT = 1_000;
const RECORDED_FROM = 100;
const TOLD_EVERY = 50;
const ROBOTS = 3;
const SEEDS = 1_000_000;

function parseArgs(args: readonly string[]): { kills: number; seed: number } {
  const at = args.indexOf('--seed');
  const seed = at < 0 ? randomInt(SEEDS) : Number(args[at + 1]);
  const [first = String(KILLS_DEFAULT)] = at === 0 ? [] : args;
  const kills = Number(first);
  if (Number.isSafeInteger(kills) && kills > 0 && Number.isSafeInteger(seed))
    return { kills, seed };
  throw new DroverError('USAGE', 'run bench kills: want [kills] [--seed number]');
}

export async function benchKills(args: readonly string[]): Promise<void> {
  const { kills, seed } = parseArgs(args);
  console.log(`seed ${seed}`);
  const cleanUps: (() => void | Promise<void>)[] = [];
  const startedAt = performance.now();
  try {
    const result = await runCampaign(
      { after: (run) => cleanUps.push(run) },
      // A replay of one update needs one robot, which then gets that seed.
      { kills, seed, robots: kills < RECORDED_FROM ? 1 : ROBOTS, onKill: tell },
    );
    const seconds = (performance.now() - startedAt) / 1000;
    console.log(result);
    if (kills >= RECORDED_FROM) await record(result, { kills, seed, seconds });
    if (result.violations.length > 0) throw new Error(result.violations.join('\n'));
  } finally {
    for (const run of cleanUps.reverse()) await run();
  }
}

function tell(killsSoFar: number): void {
  if (killsSoFar % TOLD_EVERY === 0) console.log(`${killsSoFar} kills`);
}

async function record(
  result: CampaignResult,
  run: { kills: number; seed: number; seconds: number },
): Promise<void> {
  const { boots, ends } = result;
  const phases = PHASES.map((phase) => [`killed in ${phase}`, result.killsByPhase.get(phase) ?? 0]);
  const rows = [
    ['kills', result.kills],
    ...phases.filter(([, count]) => count !== 0),
    ['would have booted the old release', boots.old],
    ['would have booted the new release', boots.new],
    ['`drover-robot recover` ran after the kill', result.recoveries],
    ['updates', result.updates],
    ['ended confirmed', ends.confirmed],
    ['ended rolled back: unhealthy', ends.unhealthy],
    ['ended rolled back: boot limit', ends.bootLimit],
    ['violations', result.violations.length],
    ['seconds', Math.round(run.seconds)],
  ];
  await appendResult(
    `${result.kills} kills of a robot agent during updates`,
    `npm run bench -- kills ${run.kills} --seed ${run.seed}`,
    { columns: ['what', 'count'], rows },
  );
}
