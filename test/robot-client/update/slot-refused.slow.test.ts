/** A system image that the robot refuses before its other slot, or the boot loader, is changed. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DroverError } from '../../../shared/base/errors.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { A, B } from '../boot/boot-loaders.ts';
import { blockOf, bundleOf, errorOf, NEW, offered, robotWith, SLOT_BYTES } from '../slot-robot.ts';

describe('a system image', () => {
  it('is refused before a byte is downloaded on a robot without --boot', async (t) => {
    const robot = await robotWith(t, { hasBoot: false });
    await offered(robot, NEW);
    await waitUntil('the refusal', () => robot.bench.codes.includes('BOOT_MISSING'));
    assert.equal(robot.bench.carrier.sent, 0);
    assert.equal(errorOf(robot), 'BOOT_MISSING');
    assert.equal(blockOf(robot), undefined);
  });

  it('is refused before a byte is downloaded when nothing could restart the machine', async (t) => {
    const robot = await robotWith(t);
    const why = new DroverError('BOOT_REBOOT_FAILED', 'find program restart: it is not there');
    robot.machine.assertCanReboot = () => Promise.reject(why);
    await offered(robot, NEW);
    await waitUntil('the refusal', () => robot.bench.codes.includes('BOOT_REBOOT_FAILED'));
    assert.equal(robot.bench.carrier.sent, 0);
    assert.equal(blockOf(robot), undefined);
  });

  it('is refused before a byte is downloaded when it is larger than the slot', async (t) => {
    const robot = await robotWith(t);
    robot.bench.announce(await bundleOf(NEW, Buffer.alloc(SLOT_BYTES + 1)), NEW);
    await waitUntil('the refusal', () => robot.bench.codes.includes('IMAGE_TOO_LARGE'));
    assert.equal(robot.bench.carrier.sent, 0);
    assert.deepEqual(robot.machine.mark, { confirmed: A, other: 'x' });
  });

  it('is not booted while the disk refuses to note the order to the boot loader', async (t) => {
    const robot = await robotWith(t);
    const { bench, machine } = robot;
    machine.bootable.delete(B);
    let isFull = true;
    bench.gate = ({ path }) => {
      const isNote =
        bench.component.view.state.phase === 'rebooting' && path.includes('machine.json');
      if (isFull && isNote) throw new DroverError('DISK_FULL', `write ${path}`);
    };
    await offered(robot, NEW);
    await waitUntil('the end of the attempt', () => bench.component.view.state.retry !== null, {
      look: () => bench.describe(),
    });
    assert.deepEqual([machine.boots, machine.running, machine.mark.other], [1, A, 'x']);
    isFull = false;
  });
});
