/**
 * `npm run bench -- guest [N] [--seed S]`: cuts the power of a machine in QEMU N times while its
 * own agent updates it, at random moments of its whole life, and checks the disk after each cut and
 * the reported version after each update. Default 40. Fails on any violation and names the seed;
 * runs of 5 cuts and more are recorded.
 */

import { randomInt } from 'node:crypto';
import { DroverError } from '../shared/base/errors.ts';
import { runGuestCuts, type GuestResult } from '../test/boot/guest-cuts.ts';
import { withCleanUp } from './clean-up.ts';
import { appendResult } from './results.ts';

const CUTS_DEFAULT = 40;
const RECORDED_FROM = 5;
const SEEDS = 1_000_000;

interface GuestArgs {
  readonly cuts: number;
  readonly seed: number;
}

function parseArgs(args: readonly string[]): GuestArgs {
  const at = args.indexOf('--seed');
  const seed = at < 0 ? randomInt(SEEDS) : Number(args[at + 1]);
  const [first = String(CUTS_DEFAULT)] = at === 0 ? [] : args;
  const cuts = Number(first);
  if (Number.isSafeInteger(cuts) && cuts > 0 && Number.isSafeInteger(seed)) return { cuts, seed };
  throw new DroverError('USAGE', 'run bench guest: want [cuts] [--seed number]');
}

export async function benchGuest(args: readonly string[]): Promise<void> {
  const run = parseArgs(args);
  console.log(`seed ${run.seed}`);
  const startedAt = performance.now();
  const onCut = (line: string): void => console.log(line);
  const result = await withCleanUp((scope) => runGuestCuts(scope, { ...run, onCut }));
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  console.log(result);
  if (run.cuts >= RECORDED_FROM) await record(result, run, seconds);
  if (result.violations.length > 0) {
    throw new Error(`seed ${run.seed}:\n${result.violations.join('\n')}`);
  }
}

async function record(result: GuestResult, run: GuestArgs, seconds: number): Promise<void> {
  const cuts = [...result.cuts.values()].reduce((sum, one) => sum + one, 0);
  const rows = [
    ['updates from the host', result.updates],
    ['ended confirmed', result.confirmed],
    ['unhealthy image, went back', result.wentBack],
    ...[...result.cuts].map(([moment, count]) => [`cut at: ${moment}`, count] as const),
    ['violations', result.violations.length],
  ];
  await appendResult(
    `${cuts} power cuts of a machine that its own agent updates (${seconds} s)`,
    `npm run bench -- guest ${run.cuts} --seed ${run.seed}`,
    { columns: ['what', 'count'], rows },
  );
}
