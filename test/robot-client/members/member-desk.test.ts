/** The facts that the leader has about one member, as its reports come and do not come. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemberDesk } from '../../../robot-client/members/member-desk.ts';
import { parseReport, encodeReport } from '../../../robot-client/members/messages.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { ROBOT, viewOf } from './link-stage.ts';

const [OLDER, NEWER] = ['a'.repeat(16), 'b'.repeat(16)];

/** A desk and the moves of the computers that have its pair file, on one clock. */
function stage() {
  const pair = { robot: ROBOT, secret: Buffer.alloc(32), computer: 'p', components: ['vision'] };
  const desk = new MemberDesk(pair, 0);
  let [now, nth] = [0, 0];
  const report = (epoch: string, active: string, name = 'vision'): boolean => {
    nth += 1;
    const views = [viewOf(name, active)];
    const body = encodeReport({ epoch, nth, heard: '', state: null, views });
    return desk.take(parseReport(body), now, 0);
  };
  const poll = (epoch: string, forMs = 0): void => {
    for (const endMs = now + forMs; now <= endMs; now += LIMITS.memberPollMs)
      desk.heard(now, 0, epoch);
  };
  const active = () => desk.views.get('vision')?.active;
  return { desk, report, poll, active, away: () => desk.awayMs(now) };
}

describe('a member at the desk of its leader', () => {
  it('is heard again when it is the older one of two, and the newer one is gone', () => {
    const { desk, report, poll, active, away } = stage();
    poll(OLDER);
    report(OLDER, '1.0.0');
    poll(NEWER);
    report(NEWER, '2.0.0');
    poll(OLDER);
    assertRefused('MEMBER_TWICE', () => report(OLDER, '3.0.0'), /another start of it/);
    assert.equal(active(), '2.0.0');
    poll(OLDER, LIMITS.memberTwiceMs);
    assert.ok(away() > 0, 'what it has was not heard: the views are those of the other one');
    assert.equal(report(OLDER, '3.0.0'), true);
    assert.equal(active(), '3.0.0');
    poll(OLDER, LIMITS.memberTwiceMs);
    assert.deepEqual([away(), desk.trouble(LIMITS.memberTwiceMs * 3)], [0, 'MEMBER_AWAY']);
    assertRefused('MEMBER_TWICE', () => {
      poll(NEWER);
      poll(OLDER);
      report(NEWER, '2.0.0');
    });
  });

  it('is away since it was there for the last time, also while it asks for news', () => {
    const { desk, report, poll, away } = stage();
    poll(OLDER, LIMITS.memberAwayMs + LIMITS.memberPollMs);
    assert.ok(away() > LIMITS.memberAwayMs, 'it never reported');
    report(OLDER, '1.0.0');
    assert.equal(away(), 0);
    assertRefused('MEMBER_REFUSED', () => report(OLDER, '1.0.0', 'arm'));
    desk.refused(); // as its leader does
    poll(OLDER, LIMITS.memberAwayMs);
    assert.ok(away() > LIMITS.memberAwayMs, 'its reports are refused');
    report(OLDER, '1.0.0');
    assert.equal(away(), 0);
    poll(NEWER, LIMITS.memberAwayMs);
    assert.ok(away() > LIMITS.memberAwayMs, 'it has started again, and did not report');
    report(NEWER, '1.0.0');
    assert.equal(away(), 0);
  });
});
