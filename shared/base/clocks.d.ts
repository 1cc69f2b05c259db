/** Gives the two clocks of the platform their types, so that a value of one does not pass for the other. */

import type { EpochMs, MonoMs } from './ids.ts';

declare global {
  interface DateConstructor {
    now(): EpochMs;
  }
}

declare module 'node:perf_hooks' {
  interface Performance {
    now(): MonoMs;
  }
}
