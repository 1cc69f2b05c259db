/**
 * A machine in QEMU that its own agent updates: `drover publish` on the host leads to a slot that
 * booted, and neither bad images nor power cuts leave the machine without a whole system. All tests
 * use one machine, so each begins where the one before ended. The random cuts are `npm run bench --
 * guest`.
 */

import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import type { ComponentState } from '../../shared/formats/messages.ts';
import { canBoot } from '../boot/guest-disk.ts';
import { FACTORY, GuestRobot, upIn, type ImageKind } from '../boot/guest-robot.ts';
import type { Machine } from '../boot/machine.ts';
import type { Scope } from '../helpers/scope.ts';

describe('a machine that its own agent updates', () => {
  const cleanUps: (() => void | Promise<void>)[] = [];
  after(async () => {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  });
  const scope: Scope = { after: (cleanUp) => void cleanUps.push(cleanUp) };
  let robot: GuestRobot | null = null;
  let machine: Machine | null = null;
  let runs = FACTORY;

  async function parts(t: TestContext): Promise<{ robot: GuestRobot; machine: Machine } | null> {
    if (!canBoot(t)) return null;
    robot ??= await GuestRobot.open(scope);
    machine ??= await robot.start();
    return { robot, machine };
  }

  /** A bad image ends with the version before, on the console, in the report and on the disk. */
  async function goesBack(t: TestContext, version: string, kind: ImageKind, code: string) {
    const on = await parts(t);
    if (!on) return;
    await on.robot.publish(version, kind);
    const isOver = ({ phase, blocked }: ComponentState): boolean =>
      phase === 'idle' && blocked.includes(version);
    const report = await on.robot.until(`${version} as blocked`, on.machine, isOver);
    assert.equal(report.last_error?.code, code);
    assert.equal(report.version, runs);
    assert.equal(on.robot.violation(), null);
    assert.equal(upIn(on.machine).version, runs);
  }

  /** The power is cut once, when it holds; then the machine may go on to the end. */
  async function survives(
    t: TestContext,
    version: string,
    when: (robot: GuestRobot) => () => boolean,
    atCut: (robot: GuestRobot) => void = () => undefined,
  ) {
    const on = await parts(t);
    if (!on) return;
    const holds = when(on.robot);
    await on.robot.publish(version, 'good');
    await on.machine.cutWhen(`${version} is on its way`, holds);
    atCut(on.robot);
    assert.equal(on.robot.violation(), null);
    machine = await on.robot.start();
    await on.robot.untilRuns(version, machine);
    assert.equal(on.robot.violation(), null);
    assert.equal(upIn(machine).version, version);
    runs = version;
  }

  it('writes, boots and confirms an image that was published on the host', async (t) => {
    const on = await parts(t);
    if (!on) return;
    await on.robot.publish('2.0.0', 'good');
    await on.robot.untilRuns('2.0.0', on.machine);
    assert.deepEqual(on.robot.look().mark, { confirmed: 'B', other: '+' });
    assert.equal(on.robot.violation(), null);
    assert.deepEqual(upIn(on.machine), { slot: 'B', version: '2.0.0' });
    runs = '2.0.0';
  });

  it('goes back from an image that boots and is not healthy', async (t) => {
    await goesBack(t, '2.1.0', 'sick', 'HEALTH_FAILED');
  });

  it('comes back from a kernel that panics, and says so', async (t) => {
    await goesBack(t, '2.2.0', 'panics', 'BOOT_FELL_BACK');
  });

  it('comes back from an image that GRUB cannot load, and says so', async (t) => {
    await goesBack(t, '2.3.0', 'no-system', 'BOOT_FELL_BACK');
  });

  it('comes back from a system that hangs, by its watchdog, and says so', async (t) => {
    await machine?.cut();
    machine = (await robot?.start(true)) ?? null;
    await goesBack(t, '2.4.0', 'hangs', 'BOOT_FELL_BACK');
  });

  it('writes the slot again when the power went while it was written', async (t) => {
    const begun = (on: GuestRobot) => {
      const { slot, head } = on.spare();
      return () => on.head(slot) !== head;
    };
    await survives(t, '2.5.0', begun, (on) => {
      assert.equal(on.mark()?.other, 'x');
      assert.equal(on.imageIn(on.spare().slot), null, 'the whole image was written already');
    });
  });

  it('boots the new slot when the power went right after the order to GRUB', async (t) => {
    await survives(t, '2.6.0', (on) => () => on.mark()?.other === '3');
  });

  it('boots the new slot when the power went right after GRUB had chosen it', async (t) => {
    await survives(t, '2.7.0', (on) => () => on.mark()?.other === '2');
  });
});
