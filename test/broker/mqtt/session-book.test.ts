import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { ANYONE } from '../../../broker/access/access.ts';
import { queuedBytes, SessionBook } from '../../../broker/mqtt/session-book.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const MiB = 2 ** 20;

describe('the account of sessions', () => {
  it('drops what is beyond the share of a user, and keeps what others queue', () => {
    const book = new SessionBook();
    for (const [session, owner] of [
      ['a', 'user:x'],
      ['b', 'user:x'],
      ['c', 'user:y'],
    ] as const) {
      book.use(session, owner);
    }
    const half = LIMITS.queuedBytesPerUserMax / 2;
    assert.ok(book.queue('a', half));
    assert.ok(book.queue('b', half));
    assert.ok(!book.queue('b', 1));
    assert.ok(book.queue('c', half));
    book.unqueue('a', half);
    assert.ok(book.queue('b', half));
    assert.equal(book.list().find(({ session }) => session === 'b')?.dropped, 1);
  });

  it('never queues more than all sessions may hold, also where users cannot be told apart', () => {
    const book = new SessionBook();
    const sessions = Array.from({ length: 200 }, (_, at) => `s${at}`);
    for (const session of sessions) book.use(session, ANYONE);
    for (const session of sessions) book.queue(session, 3 * MiB);
    assert.ok(book.bytes <= LIMITS.queuedBytesMax);
    assert.ok(book.bytes > LIMITS.queuedBytesMax - 3 * MiB);
  });

  it('counts only the time that a client is away, and ends a session whose client does not come back', () => {
    const book = new SessionBook();
    book.use('here', 'user:x');
    book.use('away', 'user:x');
    const isHere = (session: string): boolean => session === 'here';
    const part = LIMITS.sessionKeepMs / 2;
    assert.deepEqual(
      book.age(part, isHere).changed.map(({ session }) => session),
      ['away'],
    );
    assert.deepEqual(book.age(part + 1, isHere).expired, ['away']);
    assert.deepEqual(book.use('here', 'user:x'), null);
  });

  it('gives a session without an owner, of an older broker, to its next client', () => {
    const book = new SessionBook();
    book.load('old', { owner: null, awayMs: 0 });
    assert.ok(book.mayUse('old', 'user:x'));
    book.use('old', 'user:x');
    assert.ok(!book.mayUse('old', 'user:y'));
    assert.deepEqual(
      book.orphans((owner) => owner !== 'user:x'),
      ['old'],
    );
  });

  it('holds the sums of its sessions, whatever is done in whatever order', () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const bytes = fc.integer({ min: 0, max: 20 * MiB });
    const step = fc.oneof(
      fc.tuple(fc.constant('use' as const), name, fc.constantFrom('user:x', 'user:y')),
      fc.tuple(fc.constantFrom('queue' as const, 'unqueue' as const), name, bytes),
      fc.tuple(fc.constant('end' as const), name, bytes),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const book = new SessionBook();
        for (const [kind, session, more] of steps) {
          if (kind === 'use') book.use(session, String(more));
          else if (kind === 'end') book.end(session);
          else book[kind](session, Number(more));
        }
        const sum = book.list().reduce((total, one) => total + one.bytes, 0);
        assert.equal(book.bytes, sum);
        assert.ok(book.bytes <= LIMITS.queuedBytesMax);
      }),
    );
  });

  it('weighs a message by its topic and payload', () => {
    const payload = new Uint8Array(1_000);
    assert.ok(queuedBytes({ topic: 'fleet/updates', payload }) > 1_000);
  });
});
