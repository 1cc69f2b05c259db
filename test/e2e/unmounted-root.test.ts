/** A root that is unmounted under a real agent, and a state folder that is removed under it. */

import assert from 'node:assert/strict';
import { readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runTool } from '../helpers/block-device.ts';
import { startBrokerChild } from './broker-child.ts';
import { canMount, heard, mounts, untilHeard } from './mounted-roots.ts';
import { Site } from './site.ts';

test('an agent leaves the bare mount point of its root alone, and goes on when it is mounted again', async (t) => {
  if (!canMount(t)) return;
  const disks = mounts(t);
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const [root, aside] = [site.path('nav'), site.path('aside')];
  await disks.tmpfs(root, 'size=64m');
  await disks.bind(root, aside);
  const robot = site.robot('r1', broker.url, ['--root', `nav=${root}`]);
  await site.publish(broker.url, await site.bundle('1.0.0'));
  await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', 'nav'));
  await robot.component('nav').runs('1.0.0');
  runTool('umount', '-l', root);
  await untilHeard([robot, broker], 'nav', 'ROOT_REPLACED');
  await site.publish(broker.url, await site.bundle('2.0.0', {}, '--name', 'nav'));
  await site.publish(broker.url, await site.bundle('2.0.0'));
  await robot.component('app').runs('2.0.0');
  const told = (await heard(broker)).find(({ name }) => name === 'nav');
  assert.equal(told?.version, '1.0.0', 'the version that it knew');
  assert.deepEqual(await readdir(root), [], 'the bare mount point');
  assert.equal(await readlink(join(aside, 'active')), 'releases/1.0.0');
  await disks.bind(aside, root);
  await robot.component('nav').runs('2.0.0');
  await untilHeard([robot, broker], 'nav', null);
  await rm(join(root, 'state'), { recursive: true });
  await untilHeard([robot, broker], 'nav', 'STATE_GONE');
  await untilHeard([robot, broker], 'nav', null);
  assert.ok((await readdir(join(root, 'state'))).includes('machine.json'));
});
