import { test } from 'node:test';
import { assertWorldsHold } from './worlds.ts';

test('in the first fifty faulty worlds no rollout breaks an invariant', () =>
  assertWorldsHold(1, 50));
