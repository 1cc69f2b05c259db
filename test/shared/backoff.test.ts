import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs } from '../../shared/backoff.ts';

const bounds = fc
  .tuple(fc.integer({ min: 1, max: 10_000 }), fc.nat(10_000_000))
  .map(([minMs, more]) => ({ minMs, maxMs: minMs + more }));
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const attempt = fc.nat(100_000);

test('a wait is whole milliseconds between its bounds, after any number of attempts', () => {
  fc.assert(
    fc.property(attempt, bounds, random, (at, between, chance) => {
      const waitMs = backoffMs(at, between, chance);
      assert.ok(Number.isSafeInteger(waitMs));
      assert.ok(waitMs >= between.minMs && waitMs <= between.maxMs);
      assert.ok(waitMs <= between.minMs * 2 ** Math.min(at + 1, 30));
    }),
    { numRuns: 1_000 },
  );
});

test('the longest wait grows with each attempt until it is the upper bound', () => {
  const almost = 1 - Number.EPSILON;
  fc.assert(
    fc.property(fc.nat(60), bounds, (at, between) => {
      assert.ok(backoffMs(at + 1, between, almost) >= backoffMs(at, between, almost));
      assert.ok(backoffMs(40, between, almost) >= between.maxMs - 1);
    }),
  );
});

test('chance spreads a fleet over the whole wait', () => {
  const between = { minMs: 500, maxMs: 60_000 };
  assert.equal(backoffMs(20, between, 0), 500);
  assert.equal(backoffMs(20, between, 0.5), 30_250);
});
