/** A broker whose clock is days off learns it from its robots, and from no single one of many. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clockProblem } from '../../../shared/rules/clock-off.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { AT_MS, makeState, robotId } from '../../broker/reports.ts';

const DAY = 86_400_000;
const told = (...days: number[]): string | undefined =>
  clockProblem(days.map((one) => one * DAY))?.message;

describe('the clock of a broker', () => {
  it('is off when most robots say so, in one direction', () => {
    assert.match(told(-5, -5) ?? '', /it is 5d ahead of the clocks of 2 of 2 robots/);
    assert.match(told(5, 5.1, 5, 0, 0) ?? '', /it is 5d behind the clocks of 3 of 5 robots/);
    assert.match(told(-730) ?? '', /ahead of the clocks of 1 of 1/);
  });

  it('is not off because a few robots are, or robots that disagree', () => {
    for (const days of [[], [0], [0.9, 0.9], [5, 0, 0], [5, 5, 0, 0], [5, -5], [-20_000, 0, 0]]) {
      assert.equal(told(...days), undefined, days.join());
    }
  });

  it('is asked of live reports of robots that are on, and of no retained one', () => {
    const fleet = new Fleet();
    fleet.applyState(makeState('kept'), null);
    fleet.applyState(makeState('live'), AT_MS + 5 * DAY);
    assert.deepEqual(fleet.clocksAheadMs(), []);
    for (const robot of ['kept', 'live']) fleet.applyOnline(robotId(robot), true, AT_MS + 5 * DAY);
    assert.deepEqual(fleet.clocksAheadMs(), [-5 * DAY]);
    fleet.forget(robotId('live'));
    assert.deepEqual(fleet.clocksAheadMs(), []);
  });
});
