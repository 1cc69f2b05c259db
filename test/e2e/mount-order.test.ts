/**
 * A root on a disk of its own that is not mounted: under a running agent, before the agent starts,
 * and for every other program that is started on the bare mount point. Real tmpfs, real processes.
 */

import assert from 'node:assert/strict';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runTool } from '../helpers/block-device.ts';
import { startDrover } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { startBrokerChild } from './broker-child.ts';
import { canMount, mounts, untilHeard } from './mounted-roots.ts';
import { Site } from './site.ts';

/** Ends each of the commands that write, and the one that only looks, on a root. */
async function refusedBy(
  t: TestContext,
  commands: readonly (readonly string[])[],
  code: RegExp,
): Promise<string> {
  let told = '';
  for (const args of commands) {
    const child = startDrover(t, 'robot-client', args);
    await child.exit;
    assert.equal(child.ended?.code, 3, child.describe());
    assert.match(child.stdout + child.stderr, code, child.describe());
    told += child.stdout + child.stderr;
  }
  return told;
}

test('no second program starts on the bare mount point of a root, and an agent that starts before the mount waits for it', async (t) => {
  if (!canMount(t)) return;
  const disks = mounts(t);
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const disk = site.path('data');
  const [root, aside] = [join(disk, 'robot'), site.path('aside')];
  await disks.tmpfs(disk, 'size=64m');
  await disks.bind(disk, aside);
  const given = ['--root', `nav=${root}`];
  const robot = site.robot('r1', broker.url, given);
  await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', 'nav'));
  await robot.component('nav').runs('1.0.0');

  runTool('umount', '-l', disk);
  await untilHeard([robot, broker], 'nav', 'ROOT_REPLACED');
  const agent = ['--id', 'r2', '--broker', broker.url, '--trust', site.path('trust.json')];
  await refusedBy(
    t,
    [
      [...agent, ...given],
      ['recover', ...given],
    ],
    /ROBOT_ALREADY_RUNNING/,
  );
  assert.deepEqual(await readdir(disk), []);

  // As at a boot: the agent starts first, with an order that it could install.
  await robot.child.stop();
  await site.publish(broker.url, await site.bundle('2.0.0', {}, '--name', 'nav'));
  const early = site.robot('r1', broker.url, given);
  await untilHeard([early, broker], 'nav', 'ROOT_NOT_MOUNTED');
  const ways = [
    ['explain', ...given],
    ['status', ...given],
    ['adopt', ...given],
  ];
  await refusedBy(t, ways, /ROOT_NOT_MOUNTED/);
  await refusedBy(t, [['recover', ...given]], /ROBOT_ALREADY_RUNNING/);
  assert.deepEqual(await readdir(disk), [], 'nothing is made on the disk below');
  await disks.bind(aside, disk);
  await early.component('nav').runs('2.0.0');
  await untilHeard([early, broker], 'nav', null);
  assert.deepEqual((await readdir(join(root, 'releases'))).sort(), ['1.0.0', '2.0.0']);
});

test('recover leaves a bare mount point alone, and a robot whose memory was removed begins there', async (t) => {
  if (!canMount(t)) return;
  const disks = mounts(t);
  const folder = await tempFolder(t);
  const [root, lib] = [join(folder, 'robot'), join(folder, 'lib')];
  const env = { STATE_DIRECTORY: lib };
  const recover = async (exit: number): Promise<string> => {
    const child = startDrover(t, 'robot-client', ['recover', '--root', root], { env });
    await child.exit;
    assert.equal(child.ended?.code, exit, child.describe());
    return child.stdout + child.stderr;
  };
  await disks.tmpfs(root, 'size=8m');
  await recover(0);
  runTool('umount', root);
  await mkdir(join(root, 'active')); // a copy that a technician made, or an agent of before
  const told = await recover(3);
  assert.match(told, /ROOT_NOT_MOUNTED/);
  assert.deepEqual(await readdir(root), ['active']);
  const [, file = ''] = /from now on, remove (\S+)/.exec(told) ?? [];
  await rm(file); // what the hint says
  assert.doesNotMatch(await recover(0), /ROOT_NOT_MOUNTED/);
});
