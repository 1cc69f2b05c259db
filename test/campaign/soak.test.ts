/**
 * The short soak of the campaign; `npm run soak` takes thousands of updates. The first half fills
 * what has a bound (blocked versions, usage) and what the engine learns; the second must be flat.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIMITS } from '../../shared/base/limits.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { growthIn, riseOf, type Books } from '../robot-client/soak-books.ts';
import { Soak } from '../robot-client/soak.ts';

const UPDATES = 252;
const WARM_UP = 144;
const BOOKS_EVERY = 18;

const FLAT: Books = {
  ...{ updates: 0, heapBytes: 17_000_000, outsideBytes: 2_000_000, openFiles: 20, timers: 2 },
  ...{ subscriptions: 2 },
  ...{ files: 25, diskBytes: 8_000, stateBytes: 7_000, reportBytes: 1_700, blocked: 64 },
};

describe('the books of a soak', () => {
  const soak = (change: (at: number) => Partial<Books>): Books[] =>
    Array.from({ length: 10 }, (_, at) => ({ ...FLAT, updates: at * 100, ...change(at) }));

  it('lay a line through what they hold', () => {
    const points = [0, 1, 2, 3].map((at) => ({ at, value: 7 + 5 * at }));
    assert.ok(Math.abs(riseOf(points) - 15) < 1e-9);
    assert.equal(riseOf([{ at: 1, value: 3 }]), 0);
  });

  it('find no growth in noise', () => {
    assert.deepEqual(growthIn(soak(() => ({}))), []);
    const noise = (at: number) => ({ heapBytes: FLAT.heapBytes + (at % 2) * 100_000 });
    assert.deepEqual(growthIn(soak(noise)), []);
  });

  it('find a slow leak of each kind', () => {
    for (const [measure, step] of [
      ['heapBytes', 20_000],
      ['outsideBytes', 40_000],
      ['openFiles', 1],
      ['timers', 1],
      ['files', 1],
      ['stateBytes', 100],
      ['blocked', 1],
    ] as const) {
      const [found = ''] = growthIn(soak((at) => ({ [measure]: FLAT[measure] + at * step })));
      assert.match(found, new RegExp(`^${measure} rose by`));
    }
  });
});

describe('an agent through hundreds of updates', () => {
  it('grows in nothing: memory, open files, the disk, timers, what it remembers', async (t) => {
    const { soak, close } = await Soak.open(await tempFolder(t));
    t.after(close);
    const books: Books[] = [];
    for (let done = 0; done < UPDATES;) {
      await soak.turn(done, done < WARM_UP / 2);
      done += 1;
      if (done >= WARM_UP && done % BOOKS_EVERY === 0) books.push(await soak.openBooks(done));
    }
    assert.equal(BOOKS_EVERY % soak.round, 0, 'books are opened after the same kind of turn');
    assert.equal(books[0]?.blocked, LIMITS.blockedBundlesMax, 'what has a bound was full by then');
    t.diagnostic(JSON.stringify(books.at(-1)));
    assert.deepEqual(growthIn(books), []);
  });
});
