import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { ChunkPull, type PullEffect } from '../../../shared/transfer/pull.ts';

const KiB = 1024;
const hashes = (count: number) =>
  Array.from({ length: count }, (_, at) => at.toString(16).padStart(64, '0') as Sha256Hex);

interface Setting {
  readonly chunks: number;
  readonly chunkBytes: number;
  readonly bytesPerSecond: number;
  /** Answers come in another order than questions: each of these says whether one changes places. */
  readonly swaps?: readonly boolean[];
  /** Chunks that the broker lacks until it was asked so many times. */
  readonly missing?: ReadonlyMap<Sha256Hex, number>;
}

/**
 * A broker behind one slow link, in virtual time. Every question puts a copy of the chunk at the
 * end of the line, also one that was asked before: that is what brokers do with a second SUBSCRIBE.
 */
class SlowLink {
  readonly #setting: Setting;
  readonly #pull: ChunkPull;
  readonly #asked = new Map<Sha256Hex, number>();
  #line: { hash: Sha256Hex; leftMs: number; isMoved: boolean }[] = [];
  #nowMs = 0;
  #heardAtMs = -Infinity;
  chunksSent = 0;
  slowLooks = 0;
  lineMax = 0;
  ending: PullEffect['kind'] | null = null;

  constructor(setting: Setting) {
    this.#setting = setting;
    this.#pull = new ChunkPull({ ...setting, missing: hashes(setting.chunks) });
  }

  /** @returns milliseconds that it took */
  run(): number {
    this.#apply(this.#pull.up(0));
    for (let steps = 0; this.ending === null; steps += 1) {
      assert.ok(steps < 200_000, 'the pull never ends');
      const timerInMs = Math.max(1, (this.#pull.wakeAtMs ?? Infinity) - this.#nowMs);
      const [first] = this.#line;
      if (first && first.leftMs <= timerInMs) this.#arrive(first);
      else this.#wait(timerInMs);
    }
    return this.#nowMs;
  }

  asksOf(hash: Sha256Hex): number {
    return this.#asked.get(hash) ?? 0;
  }

  #arrive({ hash, leftMs }: { hash: Sha256Hex; leftMs: number }): void {
    this.#nowMs += leftMs;
    this.#line.shift();
    this.chunksSent += 1;
    if (!this.#pull.isMissing(hash)) return;
    this.#apply(this.#pull.kept(hash, this.#setting.chunkBytes, this.#nowMs));
  }

  #wait(forMs: number): void {
    assert.ok(Number.isFinite(forMs), 'nothing will ever happen again');
    this.#nowMs += forMs;
    const [first] = this.#line;
    if (first) {
      first.leftMs -= forMs;
      this.#heardAtMs = this.#nowMs;
    }
    this.#apply(this.#pull.timer(this.#nowMs, this.#heardAtMs));
    if (this.#pull.slowest(this.#nowMs)) this.slowLooks += 1;
  }

  /** Each changes places with at most one that was asked for later; the first is being sent. */
  #mix(): void {
    const { swaps = [] } = this.#setting;
    const [before, last] = this.#line.slice(1).slice(-2);
    if (!before || !last || before.isMoved || !swaps[this.chunksSent % swaps.length]) return;
    before.isMoved = true;
    this.#line.splice(-2, 2, last, before);
  }

  #apply(effects: readonly PullEffect[]): void {
    const { chunkBytes, bytesPerSecond, missing } = this.#setting;
    for (const effect of effects) {
      if (effect.kind === 'done' || effect.kind === 'gaveUp') this.ending = effect.kind;
      if (effect.kind !== 'subscribe') continue;
      for (const hash of effect.hashes) {
        this.#asked.set(hash, this.asksOf(hash) + 1);
        if (this.asksOf(hash) <= (missing?.get(hash) ?? 0)) continue;
        this.#line.push({ hash, leftMs: (chunkBytes * 1_000) / bytesPerSecond, isMoved: false });
        this.#mix();
      }
      this.lineMax = Math.max(this.lineMax, this.#line.length);
    }
  }
}

/** One byte per second with the smallest chunks; at most as long for a chunk with larger ones. */
const settings = fc
  .record({
    chunks: fc.integer({ min: 1, max: 30 }),
    chunkBytes: fc.constantFrom(16 * KiB, 64 * KiB, 256 * KiB, 512 * KiB),
    speed: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 1e7 })),
  })
  .map(({ chunks, chunkBytes, speed }) => {
    return { chunks, chunkBytes, bytesPerSecond: speed * (chunkBytes / (16 * KiB)) };
  });

test('on a link of any speed, from one byte per second on, each chunk is sent once [P-7.10]', () => {
  fc.assert(
    fc.property(settings, (setting) => {
      const link = new SlowLink(setting);
      link.run();
      assert.equal(link.ending, 'done');
      assert.equal(link.chunksSent, setting.chunks);
    }),
    { numRuns: 300 },
  );
});

test('answers that change places bring no second question', () => {
  fc.assert(
    fc.property(settings, fc.array(fc.boolean(), { minLength: 1 }), (setting, swaps) => {
      const link = new SlowLink({ ...setting, swaps });
      link.run();
      assert.equal(link.ending, 'done');
      assert.equal(link.chunksSent, setting.chunks);
    }),
    { numRuns: 300 },
  );
});

test('a slow link is reported as slow, and asked for less at once', () => {
  // 256 KiB at 20 kbit/s take 105 s: the link that `pullTimeoutMsMax` is made for.
  const slow = new SlowLink({ chunks: 30, chunkBytes: 256 * KiB, bytesPerSecond: 2_500 });
  slow.run();
  assert.ok(slow.slowLooks > 0);
  assert.ok(slow.lineMax <= 3, `${slow.lineMax} chunks in line on a slow link`);
  const fast = new SlowLink({ chunks: 100, chunkBytes: 256 * KiB, bytesPerSecond: 1e8 });
  fast.run();
  assert.equal(fast.slowLooks, 0);
  assert.equal(fast.lineMax, LIMITS.windowChunksMax);
});

test('a chunk that the broker does not have is asked for again behind those it has', () => {
  fc.assert(
    fc.property(settings, fc.nat(39), fc.integer({ min: 1, max: 5 }), (setting, at, times) => {
      const lost = hashes(setting.chunks)[at % setting.chunks] as Sha256Hex;
      const link = new SlowLink({ ...setting, missing: new Map([[lost, times]]) });
      link.run();
      assert.equal(link.ending, 'done');
      assert.equal(link.asksOf(lost), times + 1);
      assert.ok(link.chunksSent <= setting.chunks + LIMITS.windowChunksMax);
    }),
    { numRuns: 300 },
  );
});

test('a chunk that the broker does not have ends the pull with its address, however the rest comes', () => {
  fc.assert(
    fc.property(settings, (setting) => {
      const lost = hashes(setting.chunks)[0] as Sha256Hex;
      const link = new SlowLink({ ...setting, missing: new Map([[lost, Infinity]]) });
      link.run();
      assert.equal(link.ending, 'gaveUp');
      assert.equal(link.asksOf(lost), LIMITS.pullAttemptsMax);
    }),
    { numRuns: 100 },
  );
});

test('a chunk is slow while bytes come, late when none do, and neither on a link that is down', () => {
  const [hash] = hashes(1);
  const pull = new ChunkPull({ missing: hashes(1), chunkBytes: 16 * KiB });
  pull.up(0);
  assert.equal(pull.slowest(LIMITS.pullTimeoutMsStart - 1), null);
  assert.deepEqual(pull.timer(LIMITS.pullTimeoutMsStart, LIMITS.pullTimeoutMsStart - 1), []);
  assert.deepEqual(pull.slowest(LIMITS.pullTimeoutMsStart), { hash, sinceMs: 0 });
  const lateAtMs = pull.wakeAtMs ?? 0;
  assert.equal(lateAtMs, 2 * LIMITS.pullTimeoutMsStart - 1, 'as long again after the last byte');
  assert.deepEqual(pull.timer(lateAtMs), [{ kind: 'subscribe', hashes: [hash] }]);
  assert.equal(pull.slowest(lateAtMs), null);
  pull.down();
  assert.equal(pull.slowest(1e6), null, 'the link says why itself');
});
