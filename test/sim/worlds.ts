/** Plays a part of a thousand faulty worlds; each caller names its part. */

import assert from 'node:assert/strict';
import { makeGround, simulate } from './rollout-sim.ts';

/** @throws AssertionError with the sentences that were broken and how to play their worlds again */
export async function assertWorldsHold(from: number, count: number): Promise<void> {
  const ground = await makeGround();
  const broken: string[] = [];
  const halted = { good: 0, bad: 0 };
  let cuts = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const result = await simulate(seed, ground);
    cuts += result.powerCuts;
    if (result.status !== 'complete') halted[result.isBad ? 'bad' : 'good'] += 1;
    for (const sentence of result.broken) {
      broken.push(`${sentence}; again: npm run simulate -- --seed ${seed}`);
    }
  }
  assert.deepEqual(broken, []);
  // The worlds must be as hostile as they claim, and their bad versions as bad.
  assert.ok(cuts > count, `${cuts} power cuts of a controller`);
  assert.ok(halted.bad > count / 5, `${halted.bad} bad versions halted`);
  assert.ok(halted.good < count * 0.05, `${halted.good} good versions halted`);
}
