/** The limit on the rate of all chunks, and the order of their readers, in virtual time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RateLimiter, type QueuedChunk } from '../../../broker/mqtt/rate-limiter.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const KiB = 1024;

interface Numbered extends QueuedChunk<string> {
  readonly number: number;
}

const sizes = fc.integer({ min: LIMITS.chunkBytesMin, max: LIMITS.chunkBytesMax });
const rates = fc.integer({ min: 16 * KiB, max: 64 * KiB * KiB });

const happenings = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('ask' as const),
      reader: fc.constantFrom('a', 'b', 'c'),
      bytes: sizes,
      afterMs: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('drop' as const),
      reader: fc.constantFrom('a', 'b', 'c'),
      bytes: sizes,
      afterMs: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('wait' as const),
      reader: fc.constant('a'),
      bytes: sizes,
      afterMs: fc.integer({ min: 0, max: 5_000 }),
    }),
  ),
  { maxLength: 200 },
);

test('never more than the rate, a burst and one chunk goes, in any stretch of time', () => {
  fc.assert(
    fc.property(rates, happenings, (rate, happened) => {
      const budget = new RateLimiter<string, Numbered>(rate);
      const taken: { atMs: number; bytes: number }[] = [];
      let now = 0;
      for (const [number, { kind, reader, bytes, afterMs }] of happened.entries()) {
        now += afterMs;
        if (kind === 'ask') budget.ask({ reader, bytes, number });
        if (kind === 'drop') budget.drop(reader);
        taken.push(...budget.take(now).map((turn) => ({ atMs: now, bytes: turn.bytes })));
      }
      for (const [first, { atMs }] of taken.entries()) {
        let sum = 0;
        for (const one of taken.slice(first)) {
          sum += one.bytes;
          const most = (rate * (one.atMs - atMs + LIMITS.rateBurstMs)) / 1000 + one.bytes + 1;
          assert.ok(sum <= most, `${sum} bytes, at most ${most}`);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('waiting chunks go as soon as the rate allows, for each reader in its own order', () => {
  fc.assert(
    fc.property(rates, happenings, (rate, happened) => {
      const budget = new RateLimiter<string, Numbered>(rate);
      const waiting = new Map<string, number[]>();
      let count = 0;
      let now = 0;
      const pass = (): void => {
        for (const { reader, number } of budget.take(now)) {
          assert.equal(waiting.get(reader)?.shift(), number, 'out of its order');
          count -= 1;
        }
        assert.equal(budget.waiting, count);
        const wakeAtMs = budget.wakeAtMs;
        assert.equal(wakeAtMs === null, count === 0);
        assert.ok(wakeAtMs === null || wakeAtMs > now, 'a turn is held back');
      };
      for (const [number, { kind, reader, bytes, afterMs }] of happened.entries()) {
        now += afterMs;
        const line = waiting.get(reader) ?? [];
        waiting.set(reader, line);
        if (kind === 'ask' && budget.ask({ reader, bytes, number })) {
          line.push(number);
          count += 1;
        }
        if (kind === 'drop') {
          const dropped = budget.drop(reader).map((turn) => turn.number);
          assert.deepEqual(dropped, line);
          count -= line.splice(0).length;
        }
        pass();
      }
      for (let steps = 0; budget.wakeAtMs !== null; steps += 1) {
        assert.ok(steps <= happened.length, 'it never ends');
        now = budget.wakeAtMs;
        pass();
      }
      assert.equal(count, 0);
    }),
    { numRuns: 300 },
  );
});

test('readers that all wait get the same number of bytes, whatever their chunks', () => {
  const lines = fc.array(fc.array(sizes, { minLength: 20, maxLength: 40 }), {
    minLength: 2,
    maxLength: 6,
  });
  fc.assert(
    fc.property(rates, lines, (rate, asked) => {
      const budget = new RateLimiter<string, Numbered>(rate);
      const served = asked.map(() => 0);
      const left = asked.map((line) => line.length);
      for (const [at, line] of asked.entries()) {
        for (const bytes of line) budget.ask({ reader: String(at), bytes, number: at });
      }
      while (budget.wakeAtMs !== null && !left.includes(0)) {
        for (const { number, bytes } of budget.take(budget.wakeAtMs)) {
          served[number] = (served[number] ?? 0) + bytes;
          left[number] = (left[number] ?? 0) - 1;
        }
        const apart = Math.max(...served) - Math.min(...served);
        assert.ok(apart <= LIMITS.chunkBytesDefault + 2 * LIMITS.chunkBytesMax, `${apart} apart`);
      }
    }),
    { numRuns: 200 },
  );
});

test('bytes that were not taken after all are given back, and those beyond are owed', () => {
  const budget = new RateLimiter<string, Numbered>(1_000);
  const ask = (number: number): boolean => budget.ask({ reader: 'a', bytes: 1_000, number });
  assert.ok(ask(1) && ask(2) && ask(3));
  const [first] = budget.take(10_000);
  assert.ok(first?.number === 1);
  const waitMs = (): number => (budget.wakeAtMs ?? 0) - 10_000;
  assert.equal(waitMs(), 1_000 - LIMITS.rateBurstMs);
  budget.settle(first, 200);
  assert.equal(waitMs(), 200 - LIMITS.rateBurstMs);
  budget.settle(first, 1_000 + 800);
  assert.equal(waitMs(), 1_000 - LIMITS.rateBurstMs, '800 saved, then 800 too many');
});

test('a reader may wait for so many chunks and no more', () => {
  const budget = new RateLimiter<string, Numbered>(1);
  const ask = (reader: string): boolean => budget.ask({ reader, bytes: 1, number: 0 });
  for (let asked = 0; asked < LIMITS.queuedChunksPerReaderMax; asked += 1) assert.ok(ask('a'));
  assert.equal(ask('a'), false);
  assert.equal(ask('b'), true);
  assert.equal(budget.waiting, LIMITS.queuedChunksPerReaderMax + 1);
});
