/**
 * A machine that its own agent updates, in QEMU: what `drover publish` on the host begins ends in a
 * slot that booted, and neither bad images nor power cuts leave it without a whole system.
 */

import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { canBoot } from '../boot/guest-disk.ts';
import { FACTORY, GuestRobot } from '../boot/guest-robot.ts';

const isUp = (slot: string, version: string): RegExp =>
  new RegExp(`drover: up in slot ${slot}, ${version}`);

describe('a machine that its own agent updates', () => {
  it('boots, updates, confirms', async (t: TestContext) => {
    if (!canBoot(t)) return;
    const robot = await GuestRobot.open({ after });
    const machine = await robot.start();
    await machine.waitFor(isUp('A', FACTORY));
    await robot.publish('2.0.0', 'good');
    try {
    await machine.waitFor(isUp('B', '2.0.0'));
    await robot.untilRuns('2.0.0', machine);
    assert.deepEqual(robot.look().mark, { confirmed: 'B', other: '+' });
    } finally { console.log(machine.seen.slice(0,12000)); }
    await machine.cut();
  });
});
