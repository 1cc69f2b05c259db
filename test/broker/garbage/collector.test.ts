/** The rules for removing chunks, one by one. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  GarbageLedger,
  type GarbageTerms,
  type GarbageMark,
} from '../../../broker/garbage/ledger.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';

const KEEP = 1_000;
const [a, b, c] = ['a', 'b', 'c'].map((one) => sha256Hex(Buffer.from(one))) as [
  Sha256Hex,
  Sha256Hex,
  Sha256Hex,
];
const none = new Set<Sha256Hex>();

function ledgerOf(
  terms: Partial<GarbageTerms> = {},
  marks = new Map<Sha256Hex, GarbageMark>(),
  now = 0,
) {
  const all = { keepMs: KEEP, earlyMs: 100, marksMax: 10, isHeldBack: () => false, ...terms };
  return new GarbageLedger(all, marks, now);
}

/** All of a listing at once. */
function list(ledger: GarbageLedger, hashes: readonly Sha256Hex[], now: number): void {
  ledger.step({ kind: 'listed', hashes }, now);
  ledger.step({ kind: 'listing-ended' }, now);
}

describe('chunks that may go', () => {
  it('are none as long as it is not known what is announced', () => {
    const ledger = ledgerOf({}, new Map([[a, { sinceMs: 0, wasAnnounced: true }]]), 9e9);
    list(ledger, [a, b], 9e9);
    assert.deepEqual([ledger.due(9e12), ledger.dueForRoom(9e12)], [[], []]);
  });

  it('are those that were there, unneeded and untouched for the keep time, oldest first', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: new Set([a]) }, 0);
    list(ledger, [a, b], 10);
    list(ledger, [a, b, c], 20);
    assert.deepEqual(ledger.due(10 + KEEP - 1), []);
    assert.deepEqual(ledger.due(20 + KEEP), [b, c]);
    assert.equal(ledger.mayRemove(a, 9e9), false);
  });

  it('are not those that were used meanwhile', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: none }, 0);
    list(ledger, [a], 0);
    const effects = ledger.step({ kind: 'touched', hash: a }, 900);
    assert.deepEqual(effects, [{ kind: 'unmark', hashes: [a], isUrgent: true }]);
    list(ledger, [a], 950);
    assert.equal(ledger.mayRemove(a, 950 + KEEP - 1), false);
    assert.equal(ledger.mayRemove(a, 950 + KEEP), true);
  });

  it('begin to wait when they are withdrawn, however long they were there', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: new Set([a]) }, 0);
    list(ledger, [a], 0);
    const effects = ledger.step({ kind: 'announced', needed: none }, 5_000);
    const mark = { sinceMs: 5_000, wasAnnounced: true };
    assert.deepEqual(effects, [{ kind: 'mark', hashes: [a], mark }]);
    assert.equal(ledger.mayRemove(a, 5_000 + KEEP - 1), false);
    assert.equal(ledger.mayRemove(a, 5_000 + KEEP), true);
  });

  it('are needed again at once when they are announced again', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: none }, 0);
    list(ledger, [a], 0);
    assert.equal(ledger.mayRemove(a, KEEP), true);
    ledger.step({ kind: 'announced', needed: new Set([a]) }, KEEP);
    assert.equal(ledger.mayRemove(a, 9e9), false);
  });

  it('wait again after a doubt, on the disk too', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: none }, 0);
    list(ledger, [a, b], 0);
    const effects = ledger.step({ kind: 'doubt' }, KEEP);
    assert.deepEqual(effects, [{ kind: 'unmark', hashes: [a, b], isUrgent: true }]);
    assert.deepEqual(ledger.due(9e9), []);
    ledger.step({ kind: 'announced', needed: none }, KEEP);
    list(ledger, [a, b], KEEP);
    assert.deepEqual(ledger.due(2 * KEEP - 1), []);
    assert.deepEqual(ledger.due(2 * KEEP), [a, b]);
  });

  it('are not those that something else holds back, and wait again after it', () => {
    const held = new Set([a]);
    const ledger = ledgerOf({ isHeldBack: (hash) => held.has(hash) });
    ledger.step({ kind: 'announced', needed: none }, 0);
    list(ledger, [a, b], 0);
    assert.deepEqual(ledger.due(KEEP), [b]);
    held.add(b);
    assert.deepEqual(ledger.due(KEEP), [], 'asked at the last moment');
    list(ledger, [a, b], KEEP);
    held.clear();
    list(ledger, [a, b], KEEP);
    assert.deepEqual(ledger.due(2 * KEEP - 1), []);
    assert.deepEqual(ledger.due(2 * KEEP), [a, b]);
  });

  it('may go early for room when they were announced once, never an upload', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: new Set([a]) }, 0);
    list(ledger, [a, b], 0);
    ledger.step({ kind: 'announced', needed: none }, 0);
    assert.deepEqual(ledger.dueForRoom(99), []);
    assert.deepEqual(ledger.dueForRoom(100), [a]);
    assert.deepEqual(ledger.due(100), []);
    assert.deepEqual(ledger.dueForRoom(KEEP), [b, a]);
  });

  it('are known as announced once also when a doubt came between', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: new Set([a]) }, 0);
    ledger.step({ kind: 'doubt' }, 0);
    ledger.step({ kind: 'announced', needed: none }, 50);
    assert.deepEqual([ledger.dueForRoom(149), ledger.dueForRoom(150)], [[], [a]]);
  });

  it('forget what is gone, so that it is new when it comes back', () => {
    const ledger = ledgerOf();
    ledger.step({ kind: 'announced', needed: none }, 0);
    list(ledger, [a, b], 0);
    list(ledger, [b], 10);
    assert.equal(ledger.isMarked(a), false);
    list(ledger, [a, b], 900);
    assert.deepEqual(ledger.due(KEEP), [b]);
  });

  it('are remembered up to a bound, and the others later', () => {
    const ledger = ledgerOf({ marksMax: 2 });
    ledger.step({ kind: 'announced', needed: none }, 0);
    list(ledger, [a, b, c], 0);
    assert.equal(ledger.marked, 2);
    for (const hash of ledger.due(KEEP)) ledger.step({ kind: 'removed', hash }, KEEP);
    list(ledger, [c], KEEP);
    assert.deepEqual(ledger.due(2 * KEEP), [c]);
  });

  it('are no older than the broker after a restart that lost some of its time', () => {
    const marks = new Map([[a, { sinceMs: 5_000, wasAnnounced: false }]]);
    const ledger = ledgerOf({}, marks, 4_000);
    ledger.step({ kind: 'announced', needed: none }, 4_000);
    assert.equal(ledger.mayRemove(a, 4_000 + KEEP - 1), false);
    assert.equal(ledger.mayRemove(a, 4_000 + KEEP), true);
  });
});
