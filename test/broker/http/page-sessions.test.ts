import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PageSessions, type UserIdentity } from '../../../broker/http/page-sessions.ts';
import { SignInLimiter } from '../../../broker/http/sign-in-limiter.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const user = (username: string): UserIdentity => ({
  ...{ kind: 'user', username, role: 'technician', robot: null },
});
const opened = (sessions: PageSessions, who: string, secret: string, now = 0): void =>
  void sessions.open(user(who), { secret, csrf: `csrf of ${secret}`, now });

describe('sessions of the page', () => {
  it('are found by their secret alone, and not after they were ended', () => {
    const sessions = new PageSessions();
    opened(sessions, 'kim', 'a');
    assert.equal(sessions.find('a', 1)?.identity.username, 'kim');
    assert.equal(sessions.find('a', 1)?.csrf, 'csrf of a');
    assert.equal(sessions.find('b', 1), null);
    sessions.end('a');
    assert.equal(sessions.find('a', 1), null);
  });

  it('end some time after the last use, and at the latest after their whole time', () => {
    const sessions = new PageSessions();
    const { pageSessionIdleMs: idle, pageSessionMs: whole } = LIMITS;
    opened(sessions, 'kim', 'idle');
    opened(sessions, 'kim', 'used');
    let now = 0;
    for (; now + idle / 2 < whole; now += idle / 2) {
      assert.ok(sessions.find('used', now), `used at ${now}`);
      if (now < idle) assert.ok(sessions.find('idle', now, false), 'a look is no use');
      else assert.equal(sessions.find('idle', now, false), null);
    }
    assert.equal(sessions.find('used', whole), null);
    assert.equal(sessions.size, 0, 'nothing is kept of a session that has ended');
  });

  it('share out: a user with too many loses the one that was not used for longest', () => {
    const sessions = new PageSessions();
    opened(sessions, 'kim', 'other');
    for (let at = 0; at < LIMITS.pageSessionsPerUserMax; at += 1) {
      opened(sessions, 'erin', `e${at}`, at);
    }
    assert.ok(sessions.find('e0', 100), 'used again');
    opened(sessions, 'erin', 'one more', 101);
    assert.equal(sessions.find('e1', 102), null);
    for (const left of ['e0', 'e2', 'one more', 'other']) assert.ok(sessions.find(left, 103), left);
    for (let at = 0; at < LIMITS.pageSessionsMax; at += 1)
      opened(sessions, `u${at}`, `u${at}`, 104);
    assert.equal(sessions.size, LIMITS.pageSessionsMax);
  });

  it('end with the credential that began them', () => {
    const sessions = new PageSessions();
    opened(sessions, 'kim', 'a');
    opened(sessions, 'erin', 'b');
    sessions.endOutdated(({ username }) => username !== 'kim');
    assert.equal(sessions.find('a', 1), null);
    assert.ok(sessions.find('b', 1));
  });
});

describe('attempts to sign in', () => {
  const { signInTriesMax: tries, signInTryMs: everyMs } = LIMITS;

  it('are few from one address at one name, and come back with time', () => {
    const limiter = new SignInLimiter();
    for (let at = 0; at < tries; at += 1) assert.equal(limiter.take('10.0.0.7', 'kim', 0), 0);
    assert.equal(limiter.take('10.0.0.7', 'kim', 0), everyMs);
    assert.equal(limiter.take('10.0.0.7', 'kim', everyMs - 1), 1);
    assert.equal(limiter.take('10.0.0.7', 'kim', everyMs), 0);
    assert.ok(limiter.take('10.0.0.7', 'kim', everyMs) > 0);
  });

  it('do not lock out other addresses, nor another name behind the same address', () => {
    const limiter = new SignInLimiter();
    for (let at = 0; at < 1_000; at += 1) limiter.take('10.0.0.7', 'kim', 0);
    assert.equal(limiter.take('10.0.0.8', 'kim', 0), 0);
    assert.equal(limiter.take('10.0.0.7', 'erin', 0), 0);
    for (let at = 0; at < 1_000; at += 1) limiter.take('10.0.0.9', `u${at}`, 0);
    assert.ok(limiter.take('10.0.0.9', 'one more', 0) > 0, 'an address has a bound of its own');
    assert.equal(limiter.take('10.0.0.8', 'erin', 0), 0);
  });

  it('cost nothing when they succeed', () => {
    const limiter = new SignInLimiter();
    for (let at = 0; at < 1_000; at += 1) {
      assert.equal(limiter.take('10.0.0.7', 'kim', 0), 0);
      limiter.giveBack('10.0.0.7', 'kim');
    }
  });

  it('count a network of IPv6 as one address', () => {
    const limiter = new SignInLimiter();
    for (let at = 0; at < tries; at += 1) limiter.take(`2001:db8:1:2::${at}`, 'kim', 0);
    assert.ok(limiter.take('2001:db8:1:2:9:9:9:9', 'kim', 0) > 0);
    assert.equal(limiter.take('2001:db8:1:3::1', 'kim', 0), 0);
    assert.equal(limiter.take('::ffff:10.0.0.7', 'kim', 0), 0);
  });
});
