import { test } from 'node:test';
import { assertWorldsHold } from './worlds.ts';

test('in the first three hundred faulty worlds no rollout breaks an invariant', () =>
  assertWorldsHold(1, 300));
