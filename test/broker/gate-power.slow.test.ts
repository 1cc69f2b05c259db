/**
 * The gate's two promises, counted over simulated rollouts of 1,000 robots: a version as good as
 * its control group is not halted, and a harmful one does not get past the canaries. The seeds are
 * fixed: a result never changes by itself, and `npm run bench -- gate` plays more of them.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gatesSchema } from '../../shared/formats/gates.ts';
import { simulateMany, simulateRollout, WORLD, type World } from './gate-simulation.ts';

const GATES = gatesSchema.parse({});
const PLENTY = { evidence_wait_s: 30 * 86_400 };
/** Only crashes: tasks would make the wave wait longer, and so catch more than is promised. */
const CANARIES = { ...WORLD, tasksPerHour: 0, waves: [1], soakS: 60, gates: PLENTY };
/** The accepted probability that the counts mislead us. */
const DOUBT = 0.01;

/** P(Binomial(n, p) <= k). */
function binomialCdf(k: number, n: number, p: number): number {
  let term = (1 - p) ** n;
  let sum = term;
  for (let i = 1; i <= k; i += 1) {
    term *= ((n - i + 1) / i) * (p / (1 - p));
    sum += term;
  }
  return sum;
}

/** So few halts would be a rare accident if their probability were as high as the stated level. */
function assertRarelyHalted(world: World, runs: number): void {
  const { halted } = simulateMany(world, { runs, firstSeed: 1 });
  const accident = binomialCdf(halted, runs, GATES.false_halt_max);
  assert.ok(accident <= DOUBT, `${halted} of ${runs} halted without a reason`);
}

/** The count does not speak against the promise that at most `miss_max` are missed. */
function assertCaught(world: World, runs: number): void {
  const { caughtInCanary } = simulateMany(world, { runs, firstSeed: 1 });
  const likely = 1 - binomialCdf(runs - caughtInCanary - 1, runs, GATES.miss_max);
  assert.ok(likely >= DOUBT, `only ${caughtInCanary} of ${runs} caught by the canaries`);
  assert.ok(caughtInCanary / runs >= 1 - GATES.miss_max);
}

test('a version as good as the old one reaches all robots, looked at every minute', () => {
  assertRarelyHalted({ ...WORLD, crashesPerHour: 4, tasksPerHour: 30, soakS: 900 }, 200);
});

test('so it does when robots crash at very different rates', () => {
  const world = { ...WORLD, crashesPerHour: 4, spread: 0.5, tasksPerHour: 0, soakS: 1_800 };
  assertRarelyHalted(world, 400);
});

test('even ten canaries of such a fleet that soak until each robot shows its nature', () => {
  // No longer proven, only seen: ten robots can by chance be the ten that crash most.
  const world = { ...CANARIES, crashesPerHour: 20, spread: 0.5, soakS: 2 * 3_600 };
  const { halted } = simulateMany(world, { runs: 200, firstSeed: 1 });
  assert.ok(halted / 200 <= GATES.false_halt_max, `${halted} of 200 halted without a reason`);
});

test('a version that is a little better than the old one is not halted either', () => {
  assertRarelyHalted({ ...CANARIES, crashesPerHour: 4, crashRatio: 0.9 }, 200);
});

for (const crashesPerHour of [0.5, 4, 20])
  test(`a doubled crash rate does not pass the canaries at ${crashesPerHour} per robot-hour`, () => {
    assertCaught({ ...CANARIES, crashesPerHour, crashRatio: 2 }, 200);
  });

test('ten robots that differ may be the sturdiest, but the second wave then catches it', () => {
  const world = { ...CANARIES, crashesPerHour: 4, crashRatio: 2, spread: 0.5, waves: [1, 10] };
  const { halted, caughtInCanary } = simulateMany(world, { runs: 200, firstSeed: 1 });
  assert.ok(caughtInCanary >= 150, `${caughtInCanary} of 200`);
  assert.ok(halted >= 196, `${halted} of 200`);
});

test('a version that crashes in a fifth of its tasks never leaves the canaries', () => {
  const world = { ...WORLD, crashesPerHour: 0.01, crashPerTask: 0.2 };
  const { caughtInCanary, medianExposed, medianHours } = simulateMany(world, {
    runs: 300,
    firstSeed: 1,
  });
  assert.equal(caughtInCanary, 300);
  assert.equal(medianExposed, 10);
  assert.ok(medianHours < 1);
});

test('one seed is one rollout, another seed another', () => {
  const world = { ...CANARIES, crashesPerHour: 4, crashRatio: 2 };
  assert.deepEqual(simulateRollout(world, 7), simulateRollout(world, 7));
  assert.notDeepEqual(simulateRollout(world, 7).verdict, simulateRollout(world, 8).verdict);
});
