import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { EpochMs, MonoMs } from '../../../shared/base/ids.ts';

const wall = (at: EpochMs): number => at;
const mono = (at: MonoMs): number => at;

it('a value of one clock does not compile in the place of the other', () => {
  assert.ok(wall(Date.now()) > mono(performance.now()));
  // @ts-expect-error -- a monotonic clock in the place of a wall clock
  wall(performance.now());
  // @ts-expect-error -- a wall clock in the place of a monotonic clock
  mono(Date.now());
  const clocks: { now(): EpochMs; mono(): MonoMs } = {
    now: () => Date.now(),
    // @ts-expect-error -- a port of the monotonic clock with the wall clock behind it
    mono: () => Date.now(),
  };
  assert.ok(clocks.now() <= clocks.mono());
  assert.equal(wall(0), mono(0)); // a plain number fits both: tests name instants of their own
});
