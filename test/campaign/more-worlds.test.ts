import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeGround, simulate } from '../sim/rollout-sim.ts';

/** Each file plays its part of a thousand worlds, so that two cores share them. */
const FROM = 501;
const COUNT = 500;

test('in another five hundred faulty worlds no rollout breaks an invariant', async () => {
  const ground = await makeGround();
  const broken: string[] = [];
  const halted = { good: 0, bad: 0 };
  let cuts = 0;
  for (let seed = FROM; seed < FROM + COUNT; seed += 1) {
    const result = await simulate(seed, ground);
    cuts += result.powerCuts;
    if (result.status !== 'complete') halted[result.isBad ? 'bad' : 'good'] += 1;
    for (const sentence of result.broken) {
      broken.push(`${sentence}; again: npm run simulate -- --seed ${seed}`);
    }
  }
  assert.deepEqual(broken, []);
  // The worlds must be as hostile as they claim, and their bad versions as bad.
  assert.ok(cuts > COUNT, `${cuts} power cuts of a controller`);
  assert.ok(halted.bad > COUNT / 5, `${halted.bad} bad versions halted`);
  assert.ok(halted.good < COUNT * 0.05, `${halted.good} good versions halted`);
});
