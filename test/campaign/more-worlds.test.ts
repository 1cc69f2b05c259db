import { test } from 'node:test';
import { assertWorldsHold } from '../sim/worlds.ts';

test('in another nine hundred and fifty faulty worlds no rollout breaks an invariant', () =>
  assertWorldsHold(51, 950));
