import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Identity, Role } from '../../../broker/access/access.ts';
import { ConnectionShares, sharesOf, type Seat } from '../../../broker/access/connection-shares.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const user = (username: string, role: Role = 'robot'): Identity => ({
  ...{ kind: 'user', username, role, robot: null },
});
const isSeat = (seat: Seat | string): seat is Seat => typeof seat !== 'string';

test('a flood of strangers from one address leaves room for another address', () => {
  const shares = new ConnectionShares(sharesOf(10_000));
  let taken = 0;
  while (isSeat(shares.open(`k${taken}`, 'evil'))) taken += 1;
  assert.equal(shares.open('more', 'evil'), 'too many from this address');
  assert.equal(taken, 1_250);
  assert.ok(isSeat(shares.open('good', 'friend')));
});

test('a flood of anonymous connections from everywhere leaves room for clients that have logged in', () => {
  const shares = new ConnectionShares(sharesOf(10_000));
  for (let n = 0; n < 4_000; n += 1) {
    assert.ok(isSeat(shares.open(`r${n}`, 'hall')), `robot ${n}`);
    assert.ok(shares.name(`r${n}`, user(`robot-${n}`)));
  }
  for (let n = 0; n < 5_000; n += 1) assert.ok(isSeat(shares.open(`s${n}`, `a${n}`)));
  assert.equal(shares.open('one more', 'new'), 'too many strangers');
  assert.equal(shares.size, 9_000, 'the rest is kept back');
});

test('a robot has its share of connections, and another robot is not held up by it', () => {
  const shares = new ConnectionShares(sharesOf(10_000));
  const { robot } = LIMITS.connectionsPerUser;
  for (let n = 0; n <= robot; n += 1) {
    shares.open(`k${n}`, 'hall');
    assert.equal(shares.name(`k${n}`, user('r1')), n < robot);
  }
  shares.open('other', 'hall');
  assert.ok(shares.name('other', user('r2')));
});

test('a port that is used again before its old socket is closed is counted as two', () => {
  const shares = new ConnectionShares(sharesOf(8));
  const [old, fresh] = [shares.open('k', 'a'), shares.open('k', 'a')];
  assert.ok(isSeat(old) && isSeat(fresh));
  assert.equal(shares.size, 2);
  shares.close(old);
  shares.close(old);
  assert.equal(shares.size, 1);
  assert.ok(shares.name('k', user('r1')), 'the newest has the name');
  shares.close(fresh);
  assert.equal(shares.size, 0);
});

test('no order of comings, namings and goings breaks a bound or leaks a seat', () => {
  const step = fc.record({
    act: fc.constantFrom('open', 'name', 'close'),
    at: fc.nat(30),
    who: fc.nat(3),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 400 }),
      fc.integer({ min: 1, max: 200 }),
      (steps, max) => {
        const bounds = sharesOf(max);
        const shares = new ConnectionShares(bounds);
        const open = new Map<number, Seat>();
        const named = new Set<number>();
        for (const { act, at, who } of steps) {
          const seat = open.get(at);
          if (act === 'open' && !seat) {
            const got = shares.open(`k${at}`, `a${who}`);
            if (isSeat(got)) open.set(at, got);
          } else if (act === 'name' && seat && shares.name(`k${at}`, user(`u${who}`))) {
            named.add(at);
          } else if (act === 'close' && seat) {
            shares.close(seat);
            open.delete(at);
            named.delete(at);
          }
          assert.equal(shares.size, open.size);
          assert.ok(open.size <= bounds.total);
          assert.ok(open.size - named.size <= bounds.strangers);
        }
        for (const seat of open.values()) shares.close(seat);
        assert.equal(shares.size, 0);
        // Nothing leaked: all that one address may have is free again.
        for (let n = 0; n < bounds.strangersPerAddress; n += 1) {
          assert.ok(isSeat(shares.open(`again${n}`, 'a0')));
        }
      },
    ),
  );
});
