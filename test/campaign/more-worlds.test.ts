import { test } from 'node:test';
import { assertWorldsHold } from '../sim/worlds.ts';

test('in another seven hundred faulty worlds no rollout breaks an invariant', () =>
  assertWorldsHold(301, 700));
