import { test } from 'node:test';
import { assertWorldsHold } from '../sim/worlds.ts';

test('in another eight hundred and fifty faulty worlds no rollout breaks an invariant', () =>
  assertWorldsHold(151, 850));
