import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DroverError } from '../../../shared/base/errors.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import {
  clockOf,
  countedSeq,
  floorOfUnknown,
  floorUnder,
  judgeOrder,
  NO_FLOOR,
  raisedFloor,
  seqOf,
  sortedFloor,
  type ClockState,
  type Floor,
  type SeqDocument,
} from '../../../shared/rules/freshness.ts';

const DAY = 86_400_000;
const NOW = Date.parse('2026-11-28T12:00:00Z');
const S = Math.floor(NOW / 1000);
const [A, K, N] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string];
const hash = (digit: string): Sha256Hex => digit.repeat(64) as Sha256Hex;

const said = (
  seq: number,
  signers: readonly string[],
  more: Partial<SeqDocument> = {},
): SeqDocument => ({
  kind: 'announcement',
  seq,
  issued_at: NOW,
  expires_at: NOW + 30 * DAY,
  signers,
  sha256: hash((seq % 10).toString()),
  ...more,
});

interface On {
  readonly floor?: Floor;
  readonly keys?: readonly string[];
  readonly clock?: ClockState;
  readonly now?: number;
  readonly isStrict?: boolean;
}

/** `counts`, `ahead`, or the code of the refusal. */
function verdict(one: SeqDocument, { floor = NO_FLOOR, keys = [A, K], ...on }: On = {}): string {
  const facts = { clock: 'known' as const, now: NOW, isStrict: false, ...on };
  try {
    return judgeOrder(one, { floor, keys, ...facts });
  } catch (error) {
    return error instanceof DroverError ? error.code : String(error);
  }
}

describe('a floor of seq', () => {
  it('goes with the key that set it, and never below what the keys that stay have said', () => {
    const seq = fc.integer({ min: S - 1000, max: S + 1000 });
    const document = fc.record({ seq, by: fc.subarray([A, K], { minLength: 1 }) });
    fc.assert(
      fc.property(fc.array(document, { maxLength: 20 }), seq, (documents, next) => {
        let floor = NO_FLOOR;
        for (const one of documents) {
          const it = said(one.seq, one.by);
          if (verdict(it, { floor }) === 'counts') floor = raisedFloor(floor, it, 'counts');
        }
        const before = seqOf(floor, [A, K]);
        const left = floorUnder(floor, [A, N]);
        const ofA = Math.max(0, ...documents.filter((d) => d.by.includes(A)).map((d) => d.seq));
        assert.ok(seqOf(left, [A, N]) <= before);
        assert.equal(
          verdict(said(next, [K]), { floor }) === 'counts',
          next >= before && !conflicts(floor, next),
        );
        // A carrier plays something of A again: it is measured by what A has said.
        if (next < seqOf(left, [A, N])) {
          assert.equal(
            verdict(said(next, [A]), { floor: left, keys: [A, N] }),
            'ANNOUNCEMENT_REPLAYED',
          );
        }
        assert.ok(seqOf(left, [A, N]) <= ofA);
        assert.equal(seqOf(floorUnder(floor, [N]), [N]), 0);
      }),
    );
  });

  const conflicts = (floor: Floor, seq: number): boolean =>
    [A, K].some(
      (key) =>
        floor.said[key]?.seq === seq && floor.said[key].sha256 !== hash((seq % 10).toString()),
    );

  it('stays as it is when a key is added or the threshold changes', () => {
    const floor = raisedFloor(NO_FLOOR, said(S, [K]), 'counts');
    assert.equal(seqOf(floorUnder(floor, [A, K, N]), [A, K, N]), S);
    assert.equal(verdict(said(S - 1, [K]), { floor, keys: [K, N] }), 'ANNOUNCEMENT_REPLAYED');
  });

  it('takes an equal seq with the same bytes, and refuses it with others', () => {
    const floor = raisedFloor(NO_FLOOR, said(S, [K]), 'counts');
    assert.equal(verdict(said(S, [A]), { floor }), 'counts');
    assert.equal(verdict(said(S, [A], { sha256: hash('f') }), { floor }), 'SEQ_CONFLICT');
    const old = floorOfUnknown(S, [A, K]); // of 0.1, which kept no hash
    assert.equal(verdict(said(S, [A], { sha256: hash('f') }), { floor: old }), 'counts');
  });
});

describe('a document that is ahead', () => {
  const far = said(S + 270 * 86_400, [K], {
    issued_at: NOW + 270 * DAY,
    expires_at: NOW + 300 * DAY,
  });

  it('by more than a day is refused where the time is known', () => {
    assert.equal(verdict(far), 'ANNOUNCEMENT_AHEAD');
    assert.equal(verdict(said(S + 86_400, [K], { issued_at: NOW + DAY })), 'counts');
    assert.equal(verdict(far, { clock: 'unsure', isStrict: true }), 'ANNOUNCEMENT_AHEAD');
  });

  it('of itself is refused by everybody, whatever the clock shows', () => {
    const now = Date.UTC(1970, 0, 2);
    const odd = said(Number.MAX_SAFE_INTEGER, [K]);
    for (const clock of ['behind', 'unsure', 'known'] as const) {
      assert.equal(verdict(odd, { clock, now }), 'ANNOUNCEMENT_AHEAD');
    }
  });

  it('is taken by a robot whose clock is behind, which refuses replays all the same', () => {
    const now = NOW - 270 * DAY;
    const clock = clockOf(now, {}, null);
    assert.equal(clock, 'unsure');
    const genuine = said(S, [K]);
    assert.equal(verdict(genuine, { clock, now }), 'ahead');
    const floor = raisedFloor(NO_FLOOR, genuine, 'ahead');
    assert.equal(verdict(said(S - 86_400, [K]), { floor, clock, now }), 'ANNOUNCEMENT_REPLAYED');
    assert.equal(verdict(said(S + 1, [K]), { floor, clock, now }), 'ahead');
    assert.equal(countedSeq(floor, [K]), 0);
  });

  it('strands no robot whose clock is right: the next true one is below it and counts', () => {
    assert.equal(verdict(far, { clock: 'unsure' }), 'ahead');
    const floor = raisedFloor(NO_FLOOR, far, 'ahead');
    const genuine = said(S, [A]);
    assert.equal(verdict(genuine, { floor, clock: 'unsure' }), 'counts');
    assert.equal(seqOf(raisedFloor(floor, genuine, 'counts'), [A, K]), S);
  });

  it('and was accepted by an agent of 0.1 is passed by a right clock, never by one that is behind', () => {
    const old = floorOfUnknown(S + 270 * 86_400, [A, K]);
    const sorted = sortedFloor(old, 'announcement', NOW, 'unsure');
    assert.equal(verdict(said(S, [A]), { floor: sorted, clock: 'unsure' }), 'counts');
    assert.deepEqual(sortedFloor(old, 'announcement', 0, 'behind'), old);
  });
});

describe('a clock', () => {
  it('is behind what a root or an accepted document says, known within the life of one', () => {
    const life = { fromMs: NOW - DAY, untilMs: NOW + DAY };
    assert.equal(clockOf(NOW, {}, life), 'known');
    assert.equal(clockOf(NOW + 2 * DAY, {}, life), 'unsure');
    assert.equal(clockOf(NOW - 3 * DAY, {}, life), 'behind');
    assert.equal(clockOf(NOW - 3 * DAY, { issued_at: NOW }, null), 'behind');
    assert.equal(clockOf(0, {}, null), 'behind');
  });
});
