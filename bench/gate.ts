/**
 * `npm run bench -- gate [runs]`: the gate over simulated rollouts of 1,000 robots, 500 of each
 * kind by default. Records how often it halts without a reason, how often harm stays with the
 * canaries, and the cost of that in hours and robots. The same seeds give the same table.
 */

import { DroverError } from '../shared/base/errors.ts';
import { simulateMany, WORLD, type World } from '../test/broker/gate-simulation.ts';
import { appendResult } from './results.ts';

const RUNS_DEFAULT = 500;
const RUNS_MAX = 1_000_000;
const DAYS_30 = { evidence_wait_s: 30 * 86_400 };
const CANARIES = { ...WORLD, tasksPerHour: 0, waves: [1], soakS: 600, gates: DAYS_30 };

const WORLDS: readonly (readonly [string, World])[] = [
  ['as good, 1 crash/h', { ...WORLD, soakS: 1_800 }],
  ['as good, 1 crash/h, robots differ (CV 0.5)', { ...WORLD, soakS: 1_800, spread: 0.5 }],
  ['as good, 0.01 crashes/h', { ...WORLD, soakS: 1_800, crashesPerHour: 0.01 }],
  [
    'as good, 4 crashes/h, robots differ, canaries soak 24 h',
    { ...CANARIES, crashesPerHour: 4, spread: 0.5, soakS: 86_400 },
  ],
  ['crashes doubled from 0.1/h', { ...CANARIES, crashesPerHour: 0.1, crashRatio: 2 }],
  ['crashes doubled from 1/h', { ...CANARIES, crashRatio: 2 }],
  ['crashes doubled from 1/h, robots differ', { ...CANARIES, crashRatio: 2, spread: 0.5 }],
  ['crashes doubled from 10/h', { ...CANARIES, crashesPerHour: 10, crashRatio: 2 }],
  [
    'crashes doubled from 1/h, default wait, soak 30 min',
    { ...WORLD, soakS: 1_800, crashRatio: 2 },
  ],
  ['crashes threefold from 0.1/h', { ...CANARIES, crashesPerHour: 0.1, crashRatio: 3 }],
  ['a fifth of tasks crash', { ...WORLD, crashesPerHour: 0.01, crashPerTask: 0.2 }],
];

export async function benchGate(args: readonly string[]): Promise<void> {
  const runs = Number(args[0] ?? RUNS_DEFAULT);
  if (!Number.isSafeInteger(runs) || runs < 1 || runs > RUNS_MAX)
    throw new DroverError('USAGE', `run bench gate: want [runs] (got ${args[0]})`);
  const rows = WORLDS.map(([name, world]) => {
    const done = simulateMany(world, { runs, firstSeed: 1 });
    const share = (count: number): string => `${((100 * count) / runs).toFixed(1)} %`;
    const caught = share(done.caughtInCanary);
    console.log(`${name}: ${share(done.halted)} halted, ${caught} by the canaries`);
    const harmful = world.crashRatio > 1 || world.crashPerTask > 0;
    const halts = harmful ? ['', caught] : [share(done.halted), ''];
    return [name, ...halts, done.medianHours.toFixed(1), done.medianExposed];
  });
  await appendResult(
    `The gate over ${runs} simulated rollouts of each kind`,
    `npm run bench -- gate ${runs}`,
    {
      columns: [
        'new version',
        'false halts',
        'caught by canaries',
        'median hours',
        'median robots exposed',
      ],
      rows,
    },
  );
}
