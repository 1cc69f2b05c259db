import { test } from 'node:test';
import { killAtCalls } from './syscalls.ts';

/** The campaign takes all. */
const ONE_IN = 40;

test('an install that is killed at a call that changes a file leaves a robot that boots', (t) =>
  killAtCalls(t, ONE_IN));
