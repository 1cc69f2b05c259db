/**
 * `npm run bench -- power [N] [--seed S] [--on ext4,xfs,btrfs]`: cuts the power of a robot's life in
 * N places, block by block, on each file system in equal parts, and checks after each what boots.
 * Default 600. Fails on any violation and names the seed; runs of 100 states and more are recorded.
 */

import { randomInt } from 'node:crypto';
import { DroverError } from '../shared/base/errors.ts';
import { FILE_SYSTEMS, type FileSystem } from '../test/power/file-systems.ts';
import { runPowerCuts, type PowerResult } from '../test/power/power-run.ts';
import { withCleanUp } from './clean-up.ts';
import { appendResult } from './results.ts';

const STATES_DEFAULT = 600;
const RECORDED_FROM = 100;
/** Of one recorded life; then another life with another seed is recorded. */
const STATES_OF_A_LIFE = 50;
const CONTROL_STATES = 24;
const GO_ON_EVERY = 10;
const SEEDS = 1_000_000;

interface PowerArgs {
  readonly states: number;
  readonly seed: number;
  readonly fileSystems: readonly FileSystem[];
}

function parseArgs(args: readonly string[]): PowerArgs {
  const valueOf = (option: string): string | undefined => {
    const at = args.indexOf(option);
    return at < 0 ? undefined : args[at + 1];
  };
  const states = Number(args[0]?.startsWith('--') === false ? args[0] : STATES_DEFAULT);
  const seed = Number(valueOf('--seed') ?? randomInt(SEEDS));
  const wanted = (valueOf('--on') ?? FILE_SYSTEMS.join(',')).split(',');
  const fileSystems = FILE_SYSTEMS.filter((one) => wanted.includes(one));
  const isGood = Number.isSafeInteger(states) && states > 0 && Number.isSafeInteger(seed);
  if (isGood && fileSystems.length === wanted.length) return { states, seed, fileSystems };
  const want = `[states] [--seed number] [--on ${FILE_SYSTEMS.join(',')}]`;
  throw new DroverError('USAGE', `run bench power: want ${want}`);
}

interface Total extends Omit<PowerResult, 'byStep' | 'flushes'> {
  readonly fileSystem: string;
  readonly byStep: Map<string, number>;
  lives: number;
}

export async function benchPower(args: readonly string[]): Promise<void> {
  const run = parseArgs(args);
  console.log(`seed ${run.seed}`);
  const startedAt = performance.now();
  const totals: Total[] = [];
  for (const [at, fileSystem] of run.fileSystems.entries()) {
    const share = Math.floor((run.states * (at + 1)) / run.fileSystems.length);
    const states = share - Math.floor((run.states * at) / run.fileSystems.length);
    totals.push(await cutMany(fileSystem, states, run.seed));
  }
  const control = await withCleanUp((scope) =>
    runPowerCuts(scope, {
      ...{ fileSystem: run.fileSystems[0] ?? 'ext4', states: CONTROL_STATES, seed: run.seed },
      ...{ isWithoutFsync: true, goOnEvery: CONTROL_STATES + 1 },
    }),
  );
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  if (run.states >= RECORDED_FROM) await record(run, totals, control, seconds);
  const broken = totals.flatMap((total) => total.broken);
  if (broken.length > 0) throw new Error(`seed ${run.seed}:\n${broken.join('\n')}`);
}

async function cutMany(fileSystem: FileSystem, states: number, seed: number): Promise<Total> {
  const total: Total = {
    ...{ fileSystem, states: 0, tornWrites: 0, wentOn: 0, lives: 0 },
    ...{ broken: [], byStep: new Map() },
  };
  while (total.states < states) {
    const options = {
      ...{ fileSystem, seed: seed + total.lives, isWithoutFsync: false, goOnEvery: GO_ON_EVERY },
      states: Math.min(STATES_OF_A_LIFE, states - total.states),
    };
    const one = await withCleanUp((scope) => runPowerCuts(scope, options));
    total.lives += 1;
    total.states += one.states;
    total.tornWrites += one.tornWrites;
    total.wentOn += one.wentOn;
    total.broken.push(...one.broken);
    for (const [name, count] of one.byStep) {
      total.byStep.set(name, (total.byStep.get(name) ?? 0) + count);
    }
    console.log(`${fileSystem}: ${total.states} states, ${total.broken.length} broken`);
  }
  return total;
}

async function record(
  run: PowerArgs,
  totals: readonly Total[],
  control: PowerResult,
  seconds: number,
): Promise<void> {
  const row = (what: string, valueOf: (total: Total) => number): (string | number)[] => [
    what,
    ...totals.map(valueOf),
  ];
  const steps = [...new Set(totals.flatMap(({ byStep }) => [...byStep.keys()]))];
  const columns = ['what', ...totals.map(({ fileSystem }) => fileSystem)];
  const rows = [
    row('crash states', (total) => total.states),
    row('recorded lives', (total) => total.lives),
    ...steps.map((step) => row(`cut in: ${step}`, ({ byStep }) => byStep.get(step) ?? 0)),
    row('torn writes', (total) => total.tornWrites),
    row('the agent went on to the next version', (total) => total.wentOn),
    row('violations', (total) => total.broken.length),
  ];
  const states = totals.reduce((sum, total) => sum + total.states, 0);
  const { length } = control.broken;
  await appendResult(
    `${states} power cuts, block by block (${seconds} s; without fsync ${length} of ${control.states} broken)`,
    `npm run bench -- power ${run.states} --seed ${run.seed} --on ${run.fileSystems.join(',')}`,
    { columns, rows },
  );
}
