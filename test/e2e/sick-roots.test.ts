/**
 * Roots whose disk fails at the start of the agent, on real file systems: the agent stays, reports
 * it, installs nothing for them, and goes on by itself when they are repaired.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runTool } from '../helpers/block-device.ts';
import { startBrokerChild } from './broker-child.ts';
import { canMount, MEND_MS, mounts, remount, untilHeard } from './mounted-roots.ts';
import { Site } from './site.ts';

describe('an agent whose disk refuses at the start', { concurrency: 3 }, () => {
  it('swaps nothing while its only socket is on a read-only disk, and goes on when it is writable', async (t) => {
    if (!canMount(t)) return;
    const disks = mounts(t);
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const root = site.path('r1');
    await disks.ext4(root);
    const only = ['--socket', join(root, 'state/agent.sock')];
    const nav = ['--root', `nav=${site.path('nav')}`];
    const robot = site.robot('r1', broker.url, [...nav, ...only]);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await robot.child.stop();
    remount(root, 'ro');
    robot.start();
    await untilHeard([robot, broker], 'app', 'DISK_READ_ONLY');
    await untilHeard([robot, broker], 'nav', 'DISK_READ_ONLY');
    await site.publish(broker.url, await site.bundle('2.0.0'));
    await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', 'nav'));
    assert.equal(await readlink(join(root, 'active')), 'releases/1.0.0');
    assert.equal(existsSync(site.path('nav/active')), false, 'the interlock is held closed');
    remount(root, 'rw');
    await robot.component('app').runs('2.0.0', MEND_MS);
    await robot.component('nav').runs('1.0.0', MEND_MS);
    await untilHeard([robot, broker], 'app', null);
  });

  it('updates the others while a root is absent on a read-only disk, or a file', async (t) => {
    if (!canMount(t)) return;
    const disks = mounts(t);
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const disk = site.path('disk');
    await disks.ext4(disk);
    remount(disk, 'ro');
    await writeFile(site.path('arm'), 'not a folder');
    const [nav, arm] = [join(disk, 'nav'), site.path('arm')];
    const robot = site.robot('r1', broker.url, ['--root', `nav=${nav}`, '--root', `arm=${arm}`]);
    for (const name of ['app', 'nav', 'arm']) {
      await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', name));
    }
    await robot.runs('1.0.0');
    await untilHeard([robot, broker], 'nav', 'DISK_READ_ONLY');
    await untilHeard([robot, broker], 'arm', 'NOT_A_FILE');
    await untilHeard([robot, broker], 'app', null);
    assert.equal(existsSync(nav), false);
    remount(disk, 'rw');
    await rm(arm);
    await robot.component('nav').runs('1.0.0', MEND_MS);
    await robot.component('arm').runs('1.0.0', MEND_MS);
    await untilHeard([robot, broker], 'nav', null);
  });

  it('stays on a first root that is full, and takes it when there is room', async (t) => {
    if (!canMount(t)) return;
    const disks = mounts(t);
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const root = site.path('r1');
    await disks.tmpfs(root, 'size=64m,nr_inodes=1');
    const robot = site.robot('r1', broker.url);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await untilHeard([robot, broker], 'app', 'DISK_FULL');
    runTool('mount', '-o', 'remount,nr_inodes=10000', root);
    await robot.runs('1.0.0', MEND_MS);
  });
});
