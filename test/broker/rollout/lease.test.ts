import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  mayAct,
  startFollowing,
  stepLease,
  type LeaseEvent,
  type LeaseState,
} from '../../../broker/rollout/lease.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { openLease } from '../../../shared/formats/lease.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { leaseNow } from '../../helpers/sign-now.ts';

const TIMES = { leaseMs: 10_000, settleMs: 1_000 };

/** Controllers on one retained topic; messages may be slow, processes may be stopped. */
class Cluster {
  nowMs = 0;
  readonly states = new Map<string, LeaseState>();
  #retained: { controller: string; term: number; beat: number } | null = null;
  #mail: { to: string; atMs: number; lease: { controller: string; term: number; beat: number } }[] =
    [];

  add(self: string): void {
    this.states.set(self, startFollowing(this.nowMs));
    if (this.#retained) this.#step(self, { kind: 'heard', lease: this.#retained });
  }

  turn(self: string, delayMs = 0): void {
    const due = this.#mail.filter((one) => one.to === self && one.atMs <= this.nowMs);
    this.#mail = this.#mail.filter((one) => !due.includes(one));
    for (const { lease } of due) this.#step(self, { kind: 'heard', lease });
    const say = this.#step(self, { kind: 'tick' });
    if (!say) return;
    const lease = { controller: self, ...say };
    this.#retained = lease;
    for (const to of this.states.keys()) {
      this.#mail.push({ to, atMs: this.nowMs + delayMs, lease });
    }
  }

  leaders(): string[] {
    return [...this.states].flatMap(([self, state]) =>
      mayAct(state, TIMES, this.nowMs) ? [self] : [],
    );
  }

  #step(self: string, event: LeaseEvent): { term: number; beat: number } | null {
    const state = this.states.get(self);
    if (!state) throw new Error(`${self} is not there`);
    const context = { self, predecessor: null, times: TIMES, now: this.nowMs };
    const { state: next, say } = stepLease(state, event, context);
    this.states.set(self, next);
    return say;
  }
}

test('of three controllers one leads, and goes on leading', () => {
  const cluster = new Cluster();
  for (const id of ['a', 'b', 'c']) cluster.add(id);
  const seen = new Set<string>();
  for (; cluster.nowMs < 120_000; cluster.nowMs += 500) {
    for (const id of ['a', 'b', 'c']) cluster.turn(id, 100);
    for (const id of cluster.leaders()) seen.add(id);
    assert.ok(cluster.leaders().length <= 1);
  }
  assert.equal(seen.size, 1);
});

test('two controllers never act at once, however late messages are and whichever is stopped', () => {
  const turn = fc.record({
    who: fc.constantFrom('a', 'b', 'c'),
    afterMs: fc.integer({ min: 0, max: 4_000 }),
    delayMs: fc.integer({ min: 0, max: 900 }),
  });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 200 }), (turns) => {
      const cluster = new Cluster();
      for (const id of ['a', 'b', 'c']) cluster.add(id);
      for (const { who, afterMs, delayMs } of turns) {
        cluster.nowMs += afterMs;
        cluster.turn(who, delayMs);
        const terms = cluster.leaders().map((id) => {
          const state = cluster.states.get(id);
          return state?.kind === 'leading' ? state.mine.term : 0;
        });
        // A leader that was asleep may not know yet that its term is over: the term is lower, and
        // its messages are refused by that number.
        assert.equal(new Set(terms).size, terms.length, `terms ${terms.join(', ')}`);
      }
    }),
    { numRuns: 300 },
  );
});

test('a leader that does not receive its own messages stops before another may begin', () => {
  const cluster = new Cluster();
  cluster.add('a');
  for (; cluster.leaders().length === 0; cluster.nowMs += 500) cluster.turn('a');
  const leadsSince = cluster.nowMs;
  for (; cluster.leaders().length > 0; cluster.nowMs += 500) cluster.turn('a', 1e9);
  assert.ok(cluster.nowMs - leadsSince < TIMES.leaseMs);
});

test('a controller that finds the lease of its own predecessor need not wait', () => {
  const heard = { controller: 'before', term: 7, beat: 3 };
  const context = { self: 'after', predecessor: 'before', times: TIMES, now: 100 };
  const { state } = stepLease(startFollowing(0), { kind: 'heard', lease: heard }, context);
  assert.deepEqual(stepLease(state, { kind: 'tick' }, context).say, { term: 8, beat: 1 });
  const other = { ...context, predecessor: 'somebody' };
  assert.equal(stepLease(state, { kind: 'tick' }, other).say, null);
});

test('a lease is signed by the rollout role of this fleet, or it is none [P-6.7]', () => {
  const fleet = makeFleet();
  const fields = {
    fleet: 'test',
    controller: 'c1',
    term: 1,
    beat: 1,
    issued_at: '2026-06-01T00:00:00Z',
  };
  assert.equal(openLease(leaseNow(fields, [fleet.seeds.rollout]), fleet.trust).term, 1);
  const refused = (bytes: Uint8Array): string => {
    try {
      openLease(bytes, fleet.trust);
    } catch (error) {
      return error instanceof DroverError ? error.code : String(error);
    }
    return 'accepted';
  };
  assert.equal(refused(leaseNow(fields, [fleet.seeds.release])), 'ENVELOPE_KEY_UNKNOWN');
  const foreign = leaseNow({ ...fields, fleet: 'other' }, [fleet.seeds.rollout]);
  assert.equal(refused(foreign), 'FLEET_WRONG');
  const progress = fleet.progress({ rollout: 'x', seq: 1 });
  assert.equal(refused(progress), 'ENVELOPE_TYPE_WRONG');
});
