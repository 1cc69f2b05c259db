import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  encodeMarks,
  isCopy,
  mark,
  parseMarks,
  type EventMarks,
} from '../../../broker/control/event-marks.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

interface Sent {
  readonly event_epoch: string;
  readonly event_seq: number;
  readonly at: number;
}

const event = (epoch: string, seq: number, at = 0): Sent => ({
  event_epoch: epoch,
  event_seq: seq,
  at,
});

/** The events that a reader takes, in the order in which they come. */
function take(events: readonly Sent[]): Sent[] {
  let marks: EventMarks | undefined;
  return events.filter((one) => {
    if (isCopy(marks, one)) return false;
    marks = mark(marks, one);
    return true;
  });
}

describe('events of robots with epochs', () => {
  it('are taken once each, whatever clocks say and however often disks are replaced', () => {
    const anyStart = fc.record({ first: fc.nat(50), count: fc.integer({ min: 1, max: 5 }) });
    const anyWorld = fc.array(anyStart, { minLength: 1, maxLength: LIMITS.eventEpochsMax });
    fc.assert(
      fc.property(anyWorld, fc.array(fc.integer()), fc.array(fc.nat()), (starts, clock, copies) => {
        const sent = starts.flatMap(({ first, count }, start) =>
          Array.from({ length: count }, (_, n) =>
            event(`e${start}`, first + n, clock[(start + n) % (clock.length || 1)] ?? 0),
          ),
        );
        // A copy comes at any time after its event.
        const heard = [...sent];
        for (const copy of copies) {
          const at = copy % heard.length;
          heard.splice(at + 1 + (copy % (heard.length - at)), 0, heard[at] as Sent);
        }
        assert.deepEqual(
          take(heard).map((one) => `${one.event_epoch} ${one.event_seq}`),
          sent.map((one) => `${one.event_epoch} ${one.event_seq}`),
        );
      }),
    );
  });

  it('of a replaced robot whose clock begins in 1970 are all told', () => {
    const before = [event('old', 1, 2e12), event('old', 9, 2e12)];
    const after = [event('new', 1, 1000), event('new', 2, 2000)];
    assert.equal(take([...before, ...after, ...after]).length, 4);
  });

  it('of an old disk image that was put back are told, but not those that it had told before', () => {
    const told = [event('a', 1), event('a', 2), event('a', 3)];
    const putBack = [event('a', 2), event('b', 3), event('b', 4)];
    assert.deepEqual(take([...told, ...putBack]).slice(3), putBack.slice(1));
  });

  it('of a robot of 0.1, which names no epoch, are told apart by number and date as before', () => {
    assert.equal(take([event('', 4, 10), event('', 4, 10), event('', 3, 9)]).length, 1);
    assert.equal(take([event('', 4, 10), event('', 1, 11)]).length, 2);
    assert.equal(take([event('', 4, 10), event('x', 1, 0), event('', 4, 10)]).length, 2);
  });

  it('are known again from a line of text, and so are those of 0.1', () => {
    const marks = [event('', 7, 99), event('a', 3), event('b', 1)].reduce<EventMarks | undefined>(
      (before, one) => mark(before, one),
      undefined,
    ) as EventMarks;
    assert.deepEqual(parseMarks(encodeMarks(marks)), marks);
    assert.deepEqual(parseMarks('12 1700000000000'), {
      seq: 12,
      atMs: 1_700_000_000_000,
      epochs: [],
    });
    assert.deepEqual(encodeMarks(marks).split(' ').slice(0, 2).map(Number), [7, 99]);
    assert.equal(parseMarks('rotten'), null);
  });
});
