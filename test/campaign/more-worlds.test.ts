import { test } from 'node:test';
import { assertWorldsHold } from '../sim/worlds.ts';

test('in another five hundred faulty worlds no rollout breaks an invariant', () =>
  assertWorldsHold(501, 500));
