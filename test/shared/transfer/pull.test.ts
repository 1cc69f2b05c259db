import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { ChunkPull, type PullEffect, type PullOptions } from '../../../shared/transfer/pull.ts';

const hashes = (count: number) =>
  Array.from({ length: count }, (_, at) => at.toString(16).padStart(64, '0') as Sha256Hex);
const KiB = 1024;

interface Weather {
  /** Probability that an answer is lost; no chunk is lost more often than `lostMax` times. */
  readonly loss: number;
  readonly lostMax: number;
  readonly delayMsMax: number;
  /** Probability, for each answer, that the link breaks at that moment. */
  readonly cut: number;
  readonly seed: number;
}

/** mulberry32: small, and the same on every machine. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Answer {
  readonly atMs: number;
  readonly hash: Sha256Hex | null; // null: the link comes back
  readonly link: number;
}

/** A link and a broker in virtual time, which hold every promise of the pull against it. */
class World {
  readonly kept = new Set<Sha256Hex>();
  readonly asks = new Map<Sha256Hex, number>();
  readonly #pull: ChunkPull;
  readonly #options: PullOptions;
  readonly #weather: Weather;
  readonly #random: () => number;
  readonly #lost = new Map<Sha256Hex, number>();
  readonly #open = new Set<Sha256Hex>();
  #answers: Answer[] = [];
  #nowMs = 1_000;
  #link = 0;
  #isUp = false;
  wants = 0;
  ending: PullEffect | null = null;

  constructor(options: PullOptions, weather: Weather) {
    this.#options = options;
    this.#weather = weather;
    this.#random = randomOf(weather.seed);
    this.#pull = new ChunkPull(options);
  }

  run(): void {
    this.#up();
    let idleTimers = 0;
    for (let steps = 0; this.ending === null; steps += 1) {
      assert.ok(steps < 50_000, 'the pull never ends');
      const wakeAtMs = this.#pull.wakeAtMs ?? Infinity;
      const next = this.#answers.reduce<Answer | null>(
        (first, one) => (first && first.atMs <= one.atMs ? first : one),
        null,
      );
      const isTimer = wakeAtMs <= (next?.atMs ?? Infinity);
      assert.ok(isTimer || next, 'nothing will ever happen again');
      idleTimers = isTimer && wakeAtMs <= this.#nowMs ? idleTimers + 1 : 0;
      assert.ok(idleTimers <= LIMITS.windowChunksMax, 'the timer spins');
      this.#nowMs = Math.max(this.#nowMs, isTimer ? wakeAtMs : (next?.atMs ?? 0));
      if (isTimer) this.#apply(this.#pull.timer(this.#nowMs));
      else if (next) this.#receive(next);
    }
    assert.deepEqual(this.#pull.timer(this.#nowMs + 1e9), [], 'silent after its end');
    assert.deepEqual(this.#pull.up(this.#nowMs), []);
    assert.equal(this.#pull.wakeAtMs, null);
  }

  #up(): void {
    this.#isUp = true;
    this.#link += 1;
    this.#apply(this.#pull.up(this.#nowMs));
  }

  #receive(answer: Answer): void {
    this.#answers = this.#answers.filter((one) => one !== answer);
    if (answer.hash === null) return this.#up();
    if (!this.#isUp || answer.link !== this.#link) return;
    if (this.#random() < this.#weather.cut) {
      this.#isUp = false;
      this.#open.clear();
      this.#pull.down();
      assert.equal(this.#pull.wakeAtMs, null, 'nothing to do while down');
      const atMs = this.#nowMs + 1 + this.#random() * 60_000;
      this.#answers.push({ atMs, hash: null, link: 0 });
      return;
    }
    const { hash } = answer;
    const isNew = !this.kept.has(hash);
    this.kept.add(hash);
    const effects = this.#pull.kept(hash, this.#options.chunkBytes, this.#nowMs);
    if (!isNew) assert.deepEqual(effects, [], 'a repeated chunk changes nothing');
    this.#apply(effects);
    this.#assertRate();
  }

  #apply(effects: readonly PullEffect[]): void {
    const filtersMax = this.#options.filtersPerSubscribeMax ?? LIMITS.filtersPerSubscribeMax;
    for (const effect of effects) {
      assert.equal(this.ending, null, 'nothing follows the end');
      switch (effect.kind) {
        case 'subscribe':
          this.#subscribed(effect.hashes);
          break;
        case 'unsubscribe':
          assert.ok(effect.hashes.length <= filtersMax);
          for (const hash of effect.hashes) assert.ok(this.#open.delete(hash), 'was subscribed');
          break;
        case 'want':
          this.wants += 1;
          assert.ok(effect.hashes.length > 0 && effect.hashes.length <= LIMITS.wantChunksMax);
          for (const hash of effect.hashes) {
            assert.ok(this.#open.has(hash) && !this.kept.has(hash), 'wants what is missing');
            assert.ok((this.asks.get(hash) ?? 0) > LIMITS.pullAttemptsBeforeWant);
          }
          break;
        case 'done':
        case 'gaveUp':
          this.ending = effect;
      }
    }
    if (this.ending) assert.equal(this.#open.size, 0, 'no subscription is left behind');
  }

  #subscribed(asked: readonly Sha256Hex[]): void {
    const { filtersPerSubscribeMax = LIMITS.filtersPerSubscribeMax, chunkBytes } = this.#options;
    assert.ok(this.#isUp, 'asks only while the link is up');
    assert.ok(asked.length > 0 && asked.length <= filtersPerSubscribeMax);
    let opened = 0;
    for (const hash of asked) {
      assert.ok(!this.kept.has(hash), 'never asks for a kept chunk');
      if (!this.#open.has(hash)) opened += 1;
      this.#open.add(hash);
      this.asks.set(hash, (this.asks.get(hash) ?? 0) + 1);
      this.#promise(hash);
    }
    const window = this.#pull.windowChunks;
    const unanswered = [...this.#open].filter((hash) => !this.kept.has(hash)).length;
    if (opened > 0) assert.ok(unanswered <= window, `${unanswered} in ${window}`);
    assert.ok(window <= (this.#options.windowMax ?? LIMITS.windowChunksMax));
    assert.ok(unanswered * chunkBytes <= LIMITS.windowBytesMax);
    assert.ok(this.#open.size - unanswered <= filtersPerSubscribeMax, 'few filters are idle');
  }

  #promise(hash: Sha256Hex): void {
    const lost = this.#lost.get(hash) ?? 0;
    if (lost < this.#weather.lostMax && this.#random() < this.#weather.loss) {
      this.#lost.set(hash, lost + 1);
      return;
    }
    const atMs = this.#nowMs + this.#random() * this.#weather.delayMsMax;
    this.#answers.push({ atMs, hash, link: this.#link });
  }

  #assertRate(): void {
    const rate = this.#options.bytesPerSecondMax ?? null;
    if (rate === null) return;
    const bytes = this.kept.size * this.#options.chunkBytes;
    const elapsedS = (this.#nowMs - 1_000) / 1_000;
    const burst = (rate * LIMITS.rateBurstMs) / 1_000 + this.#options.chunkBytes + 1;
    assert.ok(bytes <= rate * elapsedS + burst, `${bytes} bytes in ${elapsedS} s`);
  }
}

const options = fc.record({
  missing: fc.integer({ min: 0, max: 40 }).map(hashes),
  chunkBytes: fc.constantFrom(16 * KiB, 256 * KiB, 512 * KiB),
  windowMax: fc.integer({ min: 1, max: LIMITS.windowChunksMax }),
  filtersPerSubscribeMax: fc.integer({ min: 1, max: LIMITS.filtersPerSubscribeMax }),
  bytesPerSecondMax: fc.option(fc.integer({ min: 10 * KiB, max: 4_096 * KiB })),
});
const weather = fc.record({
  loss: fc.double({ min: 0, max: 0.8, noNaN: true }),
  lostMax: fc.constant(LIMITS.pullAttemptsMax - 2),
  delayMsMax: fc.constantFrom(1, 100, 1_900),
  cut: fc.constantFrom(0, 0, 0.02, 0.2),
  seed: fc.integer(),
});

test('through any loss, delay and disconnects a pull ends done, with every promise kept', () => {
  fc.assert(
    fc.property(options, weather, (pulled, outside) => {
      const world = new World(pulled, outside);
      world.run();
      assert.deepEqual(world.ending, { kind: 'done' });
      assert.equal(world.kept.size, pulled.missing.length);
    }),
    { numRuns: 400 },
  );
});

test('a good link is never asked twice for a chunk, and the window opens to its limit', () => {
  const world = new World(
    { missing: hashes(100), chunkBytes: 256 * KiB },
    { loss: 0, lostMax: 0, delayMsMax: 50, cut: 0, seed: 1 },
  );
  world.run();
  assert.ok([...world.asks.values()].every((times) => times === 1));
  assert.equal(world.wants, 0);
});

test('a chunk that never comes is asked for so many times, wanted in between, then given up', () => {
  const world = new World(
    { missing: hashes(3), chunkBytes: 256 * KiB },
    { loss: 1, lostMax: Infinity, delayMsMax: 1, cut: 0, seed: 1 },
  );
  world.run();
  const { ending } = world;
  assert.ok(ending?.kind === 'gaveUp');
  assert.equal(ending.attempts, LIMITS.pullAttemptsMax);
  assert.equal(world.asks.get(ending.hash), LIMITS.pullAttemptsMax);
  assert.equal(world.wants, LIMITS.pullAttemptsMax - LIMITS.pullAttemptsBeforeWant);
});

test('nothing missing is done at once, and said once', () => {
  const pull = new ChunkPull({ missing: [], chunkBytes: 1 });
  assert.deepEqual(pull.up(0), [{ kind: 'done' }]);
  pull.down();
  assert.deepEqual(pull.up(1), []);
});

test('chunks that were asked for when the link broke are asked for first on the next one', () => {
  const [a, b, c] = hashes(3);
  assert.ok(a && b && c);
  const pull = new ChunkPull({ missing: [a, b, c, a], chunkBytes: 1 });
  const ask = (hash: Sha256Hex): PullEffect => ({ kind: 'subscribe', hashes: [hash] });
  assert.deepEqual(pull.up(0), [ask(a), ask(b)]);
  pull.down();
  assert.deepEqual(pull.kept(b, 1, 5), [], 'a chunk on its way to the disk counts while down');
  assert.deepEqual(pull.up(10), [ask(a), ask(c)]);
});

test('a chunk that arrives before it was asked for is never asked for', () => {
  const missing = hashes(4);
  const [a, b, c, d] = missing;
  assert.ok(a && b && c && d);
  const pull = new ChunkPull({ missing, chunkBytes: 1 });
  pull.up(0);
  assert.deepEqual(pull.kept(d, 1, 1), []);
  assert.equal(pull.isMissing(d), false);
  assert.equal(pull.missingCount, 3);
  assert.deepEqual(pull.kept(a, 1, 2), [{ kind: 'subscribe', hashes: [c] }]);
});

test('kept chunks are given up some at a time, and all of them at the end', () => {
  const missing = hashes(6);
  const [a, b, c, d, e, f] = missing;
  assert.ok(a && b && c && d && e && f);
  const pull = new ChunkPull({ missing, chunkBytes: 1, windowMax: 1, filtersPerSubscribeMax: 3 });
  const leaves = (effects: readonly PullEffect[]) =>
    effects.filter(({ kind }) => kind === 'unsubscribe');
  pull.up(0);
  assert.deepEqual(
    [a, b].flatMap((hash) => leaves(pull.kept(hash, 1, 1))),
    [],
  );
  assert.deepEqual(leaves(pull.kept(c, 1, 1)), [{ kind: 'unsubscribe', hashes: [a, b, c] }]);
  pull.kept(d, 1, 1);
  pull.down(); // with the link its subscriptions are gone
  pull.up(2);
  pull.kept(e, 1, 3);
  assert.deepEqual(pull.kept(f, 1, 3), [{ kind: 'unsubscribe', hashes: [e, f] }, { kind: 'done' }]);
});

test('a chunk that is lost after it was kept is asked for again and not given up meanwhile', () => {
  const missing = hashes(4);
  const [a, b, c, d] = missing;
  assert.ok(a && b && c && d);
  const pull = new ChunkPull({ missing, chunkBytes: 1, windowMax: 1, filtersPerSubscribeMax: 2 });
  pull.up(0);
  pull.kept(a, 1, 1);
  pull.add([a], 'first', 1);
  const effects = [...pull.kept(b, 1, 2), ...pull.kept(a, 1, 3)];
  assert.deepEqual(effects, [
    { kind: 'subscribe', hashes: [a] },
    { kind: 'subscribe', hashes: [c] },
    { kind: 'unsubscribe', hashes: [b, a] },
  ]);
});

test('the window opens with each answer in time, halves when one is late, and keeps two', () => {
  const missing = hashes(40);
  const pull = new ChunkPull({ missing, chunkBytes: 1 });
  pull.up(0);
  const widths = [pull.windowChunks];
  for (const hash of missing.slice(0, 7)) {
    pull.kept(hash, 1, 10);
    widths.push(pull.windowChunks);
  }
  assert.deepEqual(widths, [2, 3, 4, 5, 6, 7, 8, 8]);
  for (const want of [4, 2, 2]) {
    pull.timer(pull.wakeAtMs ?? 0);
    assert.equal(pull.windowChunks, want);
  }
  const narrow = new ChunkPull({ missing, chunkBytes: 1, windowMax: 1 });
  narrow.up(0);
  narrow.timer(narrow.wakeAtMs ?? 0);
  assert.equal(narrow.windowChunks, 1);
});

test('a rate is kept, however long an answer takes, and no more than a late timer is saved up', () => {
  for (const answerMs of [1, 900, 3_000]) {
    const missing = hashes(60);
    const rate = 512 * KiB;
    const pull = new ChunkPull({ missing, chunkBytes: 256 * KiB, bytesPerSecondMax: rate });
    const asks: { hash: Sha256Hex; atMs: number }[] = [];
    let now = 0;
    const take = (effects: readonly PullEffect[]): void => {
      for (const effect of effects) {
        if (effect.kind !== 'subscribe') continue;
        asks.push(...effect.hashes.map((hash) => ({ hash, atMs: now })));
      }
    };
    take(pull.up(now));
    for (let answered = 0; pull.missingCount > 0;) {
      const next = asks[answered];
      const wakeAtMs = pull.wakeAtMs ?? Infinity;
      if (next && next.atMs + answerMs <= wakeAtMs) {
        now = Math.max(now, next.atMs + answerMs);
        answered += 1;
        take(pull.kept(next.hash, 256 * KiB, now));
      } else take(pull.timer((now = wakeAtMs)));
    }
    const gaps = asks.slice(1).map(({ atMs }, at) => atMs - (asks[at]?.atMs ?? 0));
    const least = 500 - LIMITS.rateBurstMs;
    assert.ok(Math.min(...gaps) >= least, `${answerMs}: a burst, ${Math.min(...gaps)}`);
    assert.ok(Math.max(...gaps.slice(10)) <= 500, `${answerMs}: too slow`);
  }
});

test('patience follows the link between its bounds', () => {
  const missing = hashes(200);
  const pull = new ChunkPull({ missing, chunkBytes: 1, windowMax: 1 });
  assert.equal(pull.patienceMs, LIMITS.pullTimeoutMsStart);
  pull.up(0);
  let now = 0;
  for (const hash of missing.slice(0, 50)) pull.kept(hash, 1, (now += 10));
  assert.equal(pull.patienceMs, LIMITS.pullTimeoutMsMin);
  for (const hash of missing.slice(50, 150)) pull.kept(hash, 1, (now += 1_000_000));
  assert.equal(pull.patienceMs, LIMITS.pullTimeoutMsMax);
});

test('more can be added to a pull, and what is in a hurry is brought forward', () => {
  const all = hashes(12);
  const [first, ...rest] = all as [Sha256Hex, ...Sha256Hex[]];
  const pull = new ChunkPull({ missing: [first, ...rest.slice(0, 5)], chunkBytes: 64 * KiB });
  const asked: Sha256Hex[] = [];
  const note = (effects: readonly PullEffect[]): void => {
    for (const one of effects) if (one.kind === 'subscribe') asked.push(...one.hashes);
  };
  note(pull.up(0));
  const hasty = [rest[4], rest[9]] as Sha256Hex[];
  note(pull.add(hasty, 'first', 1)); // one that waits in the queue, and one that is new
  note(pull.add([first, ...rest.slice(0, 8)], 'last', 2)); // most of them are known
  const before = asked.length;
  for (let now = 3; pull.missingCount > 0; now += 1) {
    const next = asked[now - 3];
    assert.ok(next, 'it has stopped asking');
    note(pull.kept(next, 1, now));
  }
  assert.deepEqual(asked.slice(before, before + 2), hasty);
  assert.equal(asked.length, new Set(asked).size, 'a chunk was asked for twice');
  assert.deepEqual(new Set(asked), new Set([first, ...rest.slice(0, 8), rest[9]]));
});
