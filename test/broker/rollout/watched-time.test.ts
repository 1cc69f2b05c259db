/** A soak counts only time in which a controller watched, whatever the clock of the broker says. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GATES, ORDER, play } from '../twenty-robots.ts';
import { toSecond } from '../../../shared/base/durations.ts';

const HOUR = 3_600_000;
const WAVES = {
  waves: [
    { percent: 10, soak_s: 600 },
    { percent: 100, soak_s: 600 },
  ],
  gates: GATES,
};

describe('the soak of a wave', () => {
  for (const [name, byMs] of [
    ['put forward by two hours', 2 * HOUR],
    ['put back by twenty hours', -20 * HOUR],
    ['put forward by forty years', 40 * 365 * 24 * HOUR],
  ] as const) {
    it(`is as long as it was meant when the clock is ${name}`, async () => {
      await play(WAVES, async ({ world, controller }) => {
        for (const robot of ORDER.slice(0, 3)) world.installed(robot, 'x', '1.1.0');
        await world.pass(controller, 100);
        assert.equal(world.progress('x')?.wave, 1);
        world.clockAheadMs = byMs;
        await world.pass(controller, 300);
        assert.equal(world.progress('x')?.wave, 1, 'only 400 of 600 s were watched');
        const history = await controller.history('x', 0, 100);
        const moved = history.filter(({ kind }) => kind === 'clock_moved');
        assert.equal(moved.length, 1);
        assert.match(moved[0]?.text ?? '', /the soak goes on from where it was$/);
        const opened = history.findLast(({ kind }) => kind === 'opened');
        const openedAt = toSecond(opened?.at ?? '');
        assert.equal(controller.view('x')?.wave_opened_at, openedAt, 'as its history says');
        await world.pass(controller, 400);
        assert.equal(world.progress('x')?.wave, 2, '800 s are enough');
      });
    });
  }

  it('does not count the time in which the broker was off, nor what its clock says then', async () => {
    for (const aheadMs of [0, 5 * HOUR, -5 * HOUR]) {
      await play(WAVES, async (stage) => {
        const { world } = stage;
        for (const robot of ORDER.slice(0, 3)) world.installed(robot, 'x', '1.1.0');
        await world.pass(stage.controller, 100);
        world.nowMs += 2 * HOUR;
        world.clockAheadMs = aheadMs;
        const controller = await stage.reopen();
        await world.pass(controller, 300);
        assert.equal(world.progress('x')?.wave, 1, `clock ${aheadMs} ms ahead`);
        await world.pass(controller, 400);
        assert.equal(world.progress('x')?.wave, 2);
      });
    }
  });

  it('loses no robot to a clock that is put forward: a robot that was seen has not vanished', async () => {
    await play(WAVES, async ({ world, controller }) => {
      const [first = ''] = ORDER;
      world.say(first, { phase: 'downloading', rollout: 'x', target_version: '1.1.0' });
      await world.pass(controller, 5);
      world.online(first, false);
      await world.pass(controller, 5);
      world.clockAheadMs = 10 * HOUR;
      await world.pass(controller, 20);
      assert.equal(controller.view('x')?.attempts?.vanished, 0);
      assert.equal(world.progress('x')?.status, 'rolling');
    });
  });
});
