/** The leader notices that two computers have one pair file. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Instances } from '../../../robot-client/members/instances.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const POLL = LIMITS.memberPollMs;

describe('the starts of a member', () => {
  it('are one computer through any number of restarts, each with a late message before it', () => {
    const seen = new Instances();
    let now = 0;
    for (let start = 1; start < 50; start += 1) {
      seen.heard(`start-${start}`, (now += POLL));
      seen.heard(`start-${start - 1}`, (now += 1));
      for (let nth = 0; nth < 3; nth += 1) seen.heard(`start-${start}`, (now += POLL));
      if (start % 9 === 0) now += LIMITS.memberTwiceMs;
    }
    const one = new Instances();
    one.heard('a', 0);
    one.heard('b', POLL);
    one.heard('a', POLL + 1);
    for (let nth = 2; nth < 20; nth += 1) one.heard('b', nth * POLL);
    assert.equal(one.isTwice(20 * POLL), false);
  });

  it('are two computers when an older one comes back twice, until one was alone for long', () => {
    const seen = new Instances();
    let now = 0;
    for (const name of ['a', 'b', 'a', 'b']) seen.heard(name, (now += POLL));
    assert.equal(seen.isTwice(now), false, 'one return may be a message that was late');
    seen.heard('a', (now += POLL));
    assert.equal(seen.isTwice(now), true);
    while (now < LIMITS.memberTwiceMs) seen.heard('b', (now += POLL));
    now += LIMITS.memberTwiceMs;
    assert.equal(seen.isTwice(now), false, 'one of them was switched off');
  });

  it('count as nothing from an agent that does not name its start', () => {
    const seen = new Instances();
    for (const name of ['a', '', 'a', '', 'a', '']) seen.heard(name, POLL);
    assert.equal(seen.isTwice(POLL), false);
    assert.equal(seen.isUnproven(POLL), false);
  });

  it('are unproven after another start for as long as the first would need to show', () => {
    const seen = new Instances();
    seen.heard('a', 0);
    assert.equal(seen.isUnproven(1), false, 'a leader that has just begun waits for no member');
    seen.heard('b', 100);
    assert.equal(seen.isUnproven(101), true);
    assert.equal(seen.isUnproven(100 + LIMITS.memberProveMs), false);
    assert.ok(LIMITS.memberProveMs > 2 * LIMITS.memberPollMs);
  });
});
