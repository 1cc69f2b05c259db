/**
 * Roots whose disk refuses at the start of the agent, on real file systems: the agent stays, tells
 * the fleet, installs nothing for them, and goes on by itself when they are mended.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, open, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { requireBlockDevices, runTool, unmountFolder } from '../helpers/block-device.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Site, type ComponentStatus, type Robot } from './site.ts';

const IMAGE_BYTES = 128 * 1024 * 1024;
/** An agent looks again after this at the latest, and a loaded machine takes its time. */
const MEND_MS = 90_000;

/** Mounts for one test. Made before any folder: what is mounted goes before what holds it. */
function mounts(t: TestContext) {
  const folders: string[] = [];
  const unmount = (): void => folders.splice(0).forEach(unmountFolder);
  t.after(unmount);
  process.once('exit', unmount);
  return {
    ext4: async (folder: string): Promise<void> => {
      const file = await open(`${folder}.img`, 'w');
      await file.truncate(IMAGE_BYTES);
      await file.close();
      await mkdir(folder, { recursive: true });
      runTool('mkfs.ext4', '-q', `${folder}.img`);
      runTool('mount', '-o', 'loop', `${folder}.img`, folder);
      folders.push(folder);
    },
    tmpfs: async (folder: string, options: string): Promise<void> => {
      await mkdir(folder, { recursive: true });
      runTool('mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder);
      folders.push(folder);
    },
  };
}

const canMount = (t: TestContext): boolean =>
  requireBlockDevices(t, ['mkfs.ext4', 'mount', 'umount']);

const remount = (folder: string, how: 'ro' | 'rw'): void =>
  void runTool('mount', '-o', `remount,${how}`, folder);

/** What the fleet knows of the components of r1. */
async function heard({ httpUrl }: BrokerChild): Promise<ComponentStatus[]> {
  const answer = await fetch(`${httpUrl}/robots/r1`);
  if (!answer.ok) return [];
  const found = (await answer.json()) as { components?: ComponentStatus[] };
  return found.components ?? [];
}

async function untilHeard(
  [robot, broker]: [Robot, BrokerChild],
  name: string,
  code: string | null,
): Promise<void> {
  let last: unknown;
  await waitUntil(
    `the fleet to hear ${code} of ${name}`,
    async () => {
      if (robot.child.ended) throw new Error(`the agent ended\n${robot.child.describe()}`);
      last = await heard(broker);
      const found = (last as ComponentStatus[]).find((one) => one.name === name);
      return found !== undefined && (found.last_error?.code ?? null) === code;
    },
    { timeoutMs: MEND_MS, look: () => `${JSON.stringify(last)}\n${robot.child.describe()}` },
  );
}

describe('an agent whose disk refuses at the start', { concurrency: 3 }, () => {
  it('stays on a read-only first root, swaps nothing, and goes on when it is writable', async (t) => {
    if (!canMount(t)) return;
    const disks = mounts(t);
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const root = site.path('r1');
    await disks.ext4(root);
    const robot = site.robot('r1', broker.url, ['--root', `nav=${site.path('nav')}`]);
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
    await untilHeard([robot, broker], 'arm', 'DISK_WRITE_FAILED');
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
