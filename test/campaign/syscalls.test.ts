import { test } from 'node:test';
import { killAtCalls } from '../kill/syscalls.ts';

test('an install that is killed at any call that changes a file leaves a robot that boots', (t) =>
  killAtCalls(t, 1));
