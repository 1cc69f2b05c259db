import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs, countEndings, reconnectMs, waitsOf } from '../../../shared/base/backoff.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

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

test('a fleet that loses its broker at one instant does not return at one instant', () => {
  const between = { minMs: 500, maxMs: 60_000 };
  const robots = 5_000;
  const waits = Array.from({ length: robots }, () => reconnectMs(0, between, Math.random()));
  const perTenth = new Map<number, number>();
  for (const wait of waits) {
    const tenth = Math.floor(wait / 100);
    perTenth.set(tenth, (perTenth.get(tenth) ?? 0) + 1);
  }
  // 35 tenths of a second: the mean is 143, and 250 is more than eight deviations above it.
  assert.ok(Math.max(...perTenth.values()) < 250, 'no tenth of a second has more than its share');
  assert.ok(Math.min(...waits) >= 500 && Math.max(...waits) < 4_000);
});

test('two robots with one id find out although the broker has no message for them', () => {
  const bounds = { minMs: LIMITS.reconnectMsMin, maxMs: LIMITS.reconnectMsMax };
  const chance = 1 - Number.EPSILON; // each waits as long as it ever may
  let [unserved, endings] = [0, 0];
  for (let turns = 0; endings < LIMITS.endingsOfTwins; turns += 1) {
    assert.ok(turns < LIMITS.endingsOfTwins, 'each link that the other ended has counted');
    unserved += 1;
    // A link lasts until the other is back.
    const livedMs = reconnectMs(waitsOf({ unserved, endings }), bounds, chance);
    endings = countEndings(endings, livedMs, unserved);
    if (turns === 0) assert.equal(waitsOf({ unserved: 0, endings: 1 }), 0);
  }
  assert.ok(waitsOf({ unserved, endings }) >= 2, 'then they wait longer and longer');
});

test('both of two robots with one id find out, also when one did before the other', () => {
  const bounds = { minMs: LIMITS.reconnectMsMin, maxMs: LIMITS.reconnectMsMax };
  const chances = fc.array(random, { minLength: 60, maxLength: 60 });
  fc.assert(
    fc.property(chances, (all) => {
      const endings: [number, number] = [1, 1]; // each has ended the other once, soon
      // Each returns after its wait, which is how long the link of the other lasts.
      for (const [turn, chance] of all.entries()) {
        const [ended, returning] = turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const);
        const waits = waitsOf({ unserved: 0, endings: endings[returning] });
        const livedMs = reconnectMs(waits, bounds, chance);
        endings[ended] = countEndings(endings[ended], livedMs);
      }
      assert.ok(Math.min(...endings) >= LIMITS.endingsOfTwins, String(endings));
    }),
  );
});

test('a link that lasted is no sign of another robot', () => {
  for (const endings of [0, 1, LIMITS.endingsOfTwins]) {
    assert.equal(countEndings(endings, LIMITS.endedLateMs), 0);
  }
  assert.equal(countEndings(0, LIMITS.endedSoonMs), 0);
});

test('a broker that takes connections and drops them is asked less and less', () => {
  const between = { minMs: 500, maxMs: 60_000 };
  const longest = [0, 1, 2, 3, 4, 10].map((at) => reconnectMs(at, between, 1 - Number.EPSILON));
  assert.deepEqual(
    longest,
    longest.toSorted((a, b) => a - b),
  );
  assert.ok((longest.at(-1) ?? 0) >= 59_000);
});
