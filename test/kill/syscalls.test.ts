import { test } from 'node:test';
import { killAtCalls } from './syscalls.ts';

/** Every run takes others; the campaign takes all. */
const EVERY = 4;

test('an install that is killed at a call that changes a file leaves a robot that boots', (t) =>
  killAtCalls(t, EVERY));
