import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  DeliveryQueue,
  type Answer,
  type Message,
} from '../../../broker/webhooks/delivery-queue.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const message = (id: string): Message => ({ id, type: 'rollout.halted', subject: 'x', body: '{}' });
const at = (mono: number) => ({ mono, epoch: 1_780_000_000_000 + mono });
const BOUNDS = { minMs: LIMITS.webhookRetryMsMin, maxMs: LIMITS.webhookRetryMsMax };
const FAILED: Answer = { failure: 'connect ECONNREFUSED' };

describe('the deliveries of one webhook', () => {
  it('a delivery that fails waits longer each time and holds up no other', () => {
    const queue = new DeliveryQueue(BOUNDS);
    queue.add(message('a'), at(0));
    queue.add(message('b'), at(0));
    assert.equal(queue.next(0)?.message.id, 'a');
    assert.equal(queue.settle('a', { status: 500 }, { now: at(0), random: 0.999 }), null);
    assert.deepEqual([queue.next(0)?.message.id, queue.next(0)?.inMs], ['b', 0]);
    assert.equal(queue.settle('b', { status: 204 }, { now: at(0), random: 0 }), 'delivered');
    const waits: number[] = [];
    for (let now = 0; waits.length < 8;) {
      const inMs = queue.next(now)?.inMs ?? 0;
      waits.push(inMs);
      now += inMs;
      queue.settle('a', FAILED, { now: at(now), random: 0.999 });
    }
    assert.deepEqual(
      waits,
      waits.toSorted((x, y) => x - y),
    );
    assert.ok((waits.at(-1) ?? 0) > 8 * (waits[0] ?? 0), String(waits));
    assert.ok(waits.every((one) => one <= LIMITS.webhookRetryMsMax));
  });

  it('is given up after the last attempt, and at once for a receiver that wants no more', () => {
    const queue = new DeliveryQueue(BOUNDS);
    queue.add(message('a'), at(0));
    queue.add(message('b'), at(0));
    assert.equal(queue.settle('b', { status: 410 }, { now: at(0), random: 0 }), 'given_up');
    const ends = Array.from({ length: LIMITS.webhookAttemptsMax }, () =>
      queue.settle('a', { status: 302 }, { now: at(0), random: 0 }),
    );
    assert.deepEqual(ends.slice(0, -1).filter(Boolean), []);
    assert.equal(ends.at(-1), 'given_up');
    assert.equal(queue.next(1e9), null);
    assert.deepEqual(queue.counts, { delivered: 0, given_up: 2, dropped: 0 });
    const [newest] = queue.list();
    assert.equal(newest?.problem, 'HTTP status 302: redirects are not followed');
    assert.equal(newest.attempts, LIMITS.webhookAttemptsMax);
  });

  it('a full queue drops the oldest, counts it, and ignores its late answer', () => {
    const queue = new DeliveryQueue(BOUNDS);
    const dropped: string[] = [];
    for (let one = 0; one < LIMITS.webhookWaitingMax + 3; one += 1) {
      const gone = queue.add(message(`m${one}`), at(one));
      if (gone) dropped.push(gone.id);
    }
    assert.deepEqual(dropped, ['m0', 'm1', 'm2']);
    assert.equal(queue.waiting, LIMITS.webhookWaitingMax);
    assert.equal(queue.counts.dropped, 3);
    assert.equal(queue.settle('m0', { status: 200 }, { now: at(0), random: 0 }), null);
    assert.equal(queue.counts.delivered, 0);
    assert.equal(queue.list().length, LIMITS.webhookDeliveriesShown);
  });
});
