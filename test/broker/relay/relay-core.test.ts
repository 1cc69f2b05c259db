/** The pure decisions of a relay about its backlog, reports and wanted chunks. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Backlog, isHopeless } from '../../../broker/relay/backlog.ts';
import { newsOf, ReportBook } from '../../../broker/relay/state-dedup.ts';
import { SiteWishes } from '../../../broker/relay/missing.ts';
import type { RobotId, Sha256Hex } from '../../../shared/base/ids.ts';
import { makeState } from '../reports.ts';

const hashOf = (n: number): Sha256Hex => n.toString(16).padStart(64, '0') as Sha256Hex;
const robot = (n: number): RobotId => `r${n}` as RobotId;

describe('the backlog of a relay', () => {
  it('gives each message up once at a time, oldest first, and loses only what is too much', () => {
    type Step = { readonly kind: 'add' | 'take' | 'acked' | 'failed'; readonly n: number };
    const step = fc.record({
      kind: fc.constantFrom<Step['kind']>('add', 'add', 'take', 'acked', 'failed'),
      n: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const bounds = { countMax: 8, bytesMax: 30 };
        const backlog = new Backlog(bounds);
        const waiting = new Map<number, number>(); // the model: number -> bytes
        const away = new Set<number>();
        for (const { kind, n } of steps) {
          if (kind === 'add') {
            const at = backlog.reserve();
            backlog.written(at, n);
            waiting.set(at, n);
            for (const gone of backlog.excess()) {
              assert.ok(!away.has(gone), 'what is on its way is not thrown away');
              const [oldest] = [...waiting.keys()].filter((one) => !away.has(one));
              assert.equal(gone, oldest, 'the oldest goes first');
              backlog.removed(gone);
              waiting.delete(gone);
            }
            const rest = [...waiting].filter(([one]) => !away.has(one));
            const bytes = [...waiting.values()].reduce((sum, one) => sum + one, 0);
            const fits = waiting.size <= bounds.countMax && bytes <= bounds.bytesMax;
            assert.ok(fits || rest.length === 0, 'bounded');
          } else if (kind === 'take') {
            const free = [...waiting.keys()].filter((one) => !away.has(one)).slice(0, n);
            assert.deepEqual(backlog.take(n), free);
            for (const at of free) away.add(at);
          } else {
            const [at] = away;
            if (at === undefined) continue;
            away.delete(at);
            if (kind === 'failed') backlog.back(at);
            else {
              backlog.removed(at);
              waiting.delete(at);
            }
          }
          assert.equal(backlog.count, waiting.size);
          assert.equal(
            backlog.bytes,
            [...waiting.values()].reduce((sum, one) => sum + one, 0),
          );
        }
      }),
      { numRuns: 400 },
    );
  });

  it('goes on after the numbers of an earlier start', () => {
    const backlog = new Backlog({ countMax: 8, bytesMax: 30 });
    backlog.written(41, 1);
    assert.equal(backlog.reserve(), 42);
    assert.deepEqual(backlog.take(5), [41], 'what was reserved only is not there yet');
  });

  it('gives up only on what would be refused again for what it is', () => {
    assert.equal(isHopeless('DOCUMENT_TOO_LARGE'), true);
    for (const code of ['ACCESS_DENIED', 'BROKER_UNREACHABLE', 'DISK_FULL', 'STORE_FULL']) {
      assert.equal(isHopeless(code), false, code);
    }
  });
});

describe('the reports of a relay', () => {
  it('tells news at once, and the rest of a robot only now and then', () => {
    const book = new ReportBook(10_000);
    book.changed(robot(1), 'idle', 0);
    assert.deepEqual(book.take(9, 0), [robot(1)]);
    book.told(robot(1), 'idle', 0);
    book.changed(robot(1), 'idle', 1);
    assert.deepEqual(book.take(9, 9_999), []);
    assert.equal(book.waiting, 1);
    book.changed(robot(1), 'swapping', 2);
    assert.deepEqual(book.take(9, 2), [robot(1)]);
    book.told(robot(1), 'swapping', 2);
    book.changed(robot(1), 'swapping', 3);
    assert.deepEqual(book.take(9, 10_002), [robot(1)]);
    book.failed(robot(1), 10_003);
    assert.deepEqual(book.take(9, 10_003), [robot(1)], 'what failed is due again at once');
  });

  it('forgets no robot, whatever fails: the last change of each goes up in the end', () => {
    const step = fc.record({
      kind: fc.constantFrom('change', 'take-ok', 'take-fail'),
      n: fc.integer({ min: 0, max: 4 }),
      news: fc.constantFrom('a', 'b'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const book = new ReportBook(100);
        const open = new Set<RobotId>();
        let now = 0;
        const take = (isOk: boolean, count: number): void => {
          for (const one of book.take(count, now)) {
            assert.ok(open.has(one), 'nothing is told that did not change');
            if (!isOk) book.failed(one, now);
            else {
              book.told(one, 'a', now);
              open.delete(one);
            }
          }
        };
        for (const { kind, n, news } of steps) {
          now += 7;
          if (kind === 'change') {
            book.changed(robot(n), news, now);
            open.add(robot(n));
          } else take(kind === 'take-ok', 2);
        }
        now += 100;
        take(true, 99);
        assert.deepEqual([...open], []);
        assert.equal(book.waiting, 0);
      }),
      { numRuns: 300 },
    );
  });

  it('counts a change of phase, version or problem as news, and a counter as none', () => {
    const state = makeState('r1');
    const [app] = state.components;
    assert.ok(app);
    const withApp = (change: object) => ({ ...state, components: [{ ...app, ...change }] });
    const base = newsOf(state);
    for (const change of [{ version: '9.9.9' }, { phase: 'swapping' }, { waiting_for: 'a door' }]) {
      assert.notEqual(newsOf(withApp(change)), base, JSON.stringify(change));
    }
    const transfer = { bytes_done: 1, bytes_total: 2, chunks_fetched: 1 };
    assert.equal(newsOf({ ...withApp({ transfer }), at: state.at + 9 }), base);
  });
});

describe('the wishes of a site', () => {
  it('never asks for a chunk that is here, nor for one that is not announced', () => {
    const action = fc.oneof(
      fc.record({
        kind: fc.constant('learn' as const),
        id: fc.integer({ min: 0, max: 3 }),
        chunks: fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 8 }),
      }),
      fc.record({ kind: fc.constant('keepOnly' as const), id: fc.integer({ min: 0, max: 3 }) }),
      fc.record({
        kind: fc.constantFrom('here', 'awaited', 'wanted'),
        hash: fc.integer({ min: 0, max: 12 }),
      }),
      fc.record({ kind: fc.constant('retry' as const) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const wishes = new SiteWishes(2);
        const bundles = new Map<number, Set<Sha256Hex>>();
        const store = new Set<Sha256Hex>();
        for (const one of actions) {
          if (one.kind === 'learn') {
            const needed = new Set(one.chunks.map(hashOf));
            const missing = new Set([...needed].filter((hash) => !store.has(hash)));
            bundles.set(one.id, needed);
            wishes.learn({ id: String(one.id), needed, isKnown: true }, missing);
          } else if (one.kind === 'keepOnly') {
            for (const id of bundles.keys()) if (id !== one.id) bundles.delete(id);
            wishes.keepOnly([String(one.id)]);
          } else if (one.kind === 'retry') wishes.retry();
          else {
            const hash = hashOf('hash' in one ? one.hash : 0);
            if (one.kind === 'here') {
              store.add(hash);
              wishes.here(hash);
            } else if (one.kind === 'wanted') {
              if (wishes.isMissing(hash)) wishes.wanted([hash]);
            } else {
              const isWish = wishes.isMissing(hash);
              assert.ok(!wishes.awaited(hash) || isWish, 'only a wish can be hurried');
              if (isWish) assert.ok(wishes.toPull.includes(hash));
            }
          }
          const needed = new Set([...bundles.values()].flatMap((chunks) => [...chunks]));
          for (const hash of wishes.toPull) assert.ok(!store.has(hash), 'it is here');
          const lacking = [...needed].filter((hash) => !store.has(hash));
          for (const hash of lacking) assert.ok(wishes.isMissing(hash), 'it is wished for');
          const views = wishes.views();
          assert.equal(views.length, bundles.size);
        }
      }),
      { numRuns: 400 },
    );
  });

  it('takes back a wish with the announcement, unless another needs it', () => {
    const wishes = new SiteWishes(2);
    const [a, b, c] = [hashOf(1), hashOf(2), hashOf(3)];
    const learn = (id: string, ...chunks: Sha256Hex[]) =>
      wishes.learn({ id, needed: new Set(chunks), isKnown: true }, new Set(chunks));
    assert.deepEqual(learn('x', a, b), [a, b]);
    assert.deepEqual(learn('y', b, c), [c]);
    assert.deepEqual(wishes.keepOnly(['y']), [a]);
    assert.deepEqual(wishes.toPull, [b, c]);
  });

  it('puts what a robot waits for first, and what the upstream lacks aside for a while', () => {
    const wishes = new SiteWishes(2);
    const [a, b, c] = [hashOf(1), hashOf(2), hashOf(3)];
    const needed = new Set([a, b, c]);
    wishes.learn({ id: 'x', needed, isKnown: true }, needed);
    assert.equal(wishes.awaited(c), true);
    assert.equal(wishes.awaited(c), false, 'it is on its way already');
    assert.deepEqual(wishes.toPull, [c, a, b]);
    assert.deepEqual(wishes.wanted([a]), []);
    assert.deepEqual(wishes.wanted([a]), [a]);
    assert.deepEqual(wishes.toPull, [c, b]);
    assert.deepEqual(wishes.views(), [
      { id: 'x', chunks: 3, missing: 3, unavailable: 1, known: true },
    ]);
    assert.deepEqual(wishes.retry(), [a]);
    assert.equal(wishes.toPull.includes(a), true);
    wishes.here(a);
    assert.equal(wishes.isMissing(a), false);
    wishes.lost(a); // the disk rots
    assert.equal(wishes.isMissing(a), true);
  });
});
