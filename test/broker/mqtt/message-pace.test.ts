/** The share of messages of each robot, in virtual time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Identity } from '../../../broker/access/access.ts';
import { MessagePace } from '../../../broker/mqtt/message-pace.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { SeldomLog } from '../../../shared/base/seldom-log.ts';
import { makeLog } from '../../../shared/io/cli.ts';

const pace = () => new MessagePace(new SeldomLog(makeLog('test', 'silent'), 1, () => 0));
const user = (username: string, role: 'robot' | 'relay' | 'publisher' = 'robot'): Identity => ({
  ...{ kind: 'user', username, role },
  robot: role === 'robot' ? parseRobotId(username) : null,
});
const { robotMessagesPerSecondMax: perSecond, robotMessagesBurst: burst } = LIMITS;

test('a burst of a robot is taken at once, what follows waits in its order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 3_000 }), (gaps) => {
      const one = pace();
      let now = 5_000_000;
      const turns = gaps.map((gap) => {
        now += gap;
        return now + one.waitMs(user('r1'), now);
      });
      assert.deepEqual(
        turns,
        turns.toSorted((a, b) => a - b),
      );
      turns.slice(0, burst).forEach((at, n) => {
        const sentMs = gaps.slice(0, n + 1).reduce((sum, gap) => sum + gap, 5_000_000);
        assert.equal(at, sentMs, 'no wait within the burst');
      });
      turns.forEach((from, n) => {
        const inASecond = turns.slice(n).filter((at) => at <= from + 1_000).length;
        assert.ok(inASecond <= burst + perSecond + 1, `${inASecond} in one second`);
      });
    }),
    { numRuns: 10 },
  );
});

test('a robot that sends without end takes nothing from another, a relay or a publisher', () => {
  const one = pace();
  for (let n = 0; n < 2 * burst; n += 1) one.waitMs(user('r1'), 0);
  assert.ok(one.waitMs(user('r1'), 0) > 0);
  assert.equal(one.waitMs(user('r2'), 0), 0);
  for (let n = 0; n < 2 * burst; n += 1) {
    assert.equal(one.waitMs(user('site', 'relay'), 0), 0);
    assert.equal(one.waitMs(user('ci', 'publisher'), 0), 0);
    assert.equal(one.waitMs({ kind: 'anyone' }, 0), 0);
  }
  const restedMs = ((2 * burst) / perSecond) * 1_000;
  assert.equal(one.waitMs(user('r1'), restedMs), 0);
});
