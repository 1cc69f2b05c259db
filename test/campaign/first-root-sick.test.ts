/**
 * Robots whose first root is read-only, full or absent, on real file systems: other components are
 * updated, except where the application must be able to say that it is busy and cannot.
 */

import assert from 'node:assert/strict';
import { open, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { callLocalApi } from '../../robot-client/local/client.ts';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from '../e2e/broker-child.ts';
import { canMount, heard, MEND_MS, mounts, remount, untilHeard } from '../e2e/mounted-roots.ts';
import { Robot, Site } from '../e2e/site.ts';

async function publish(site: Site, broker: BrokerChild, version: string): Promise<void> {
  for (const name of ['app', 'nav']) {
    await site.publish(broker.url, await site.bundle(version, {}, '--name', name));
  }
}

/** Reads the reports at the broker: the usual socket of such a robot is closed. */
async function untilNavRuns(robot: Robot, broker: BrokerChild, version: string): Promise<void> {
  let last: unknown;
  await waitUntil(
    `the fleet to hear of nav ${version} on ${robot.id}`,
    async () => {
      const nav = (await heard(broker, robot.id)).find(({ name }) => name === 'nav');
      last = nav;
      return nav?.version === version && nav.phase === 'idle';
    },
    { timeoutMs: MEND_MS, look: () => `${JSON.stringify(last)}\n${robot.child.describe()}` },
  );
}

/** Four robots with `app` on a disk of its own and `nav` on that of the machine. */
async function stage(t: TestContext) {
  const disks = mounts(t);
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const navOf = (id: string): string => site.path(`${id}-nav`);
  const robotAt = (id: string, folder = site.folder): Robot => {
    const link = ['--broker', broker.url, '--trust', site.path('trust.json')];
    return new Robot(t, id, folder, [...link, '--root', `nav=${navOf(id)}`], {});
  };
  return { disks, broker, site, navOf, robotAt };
}

it('other components are updated while the first root is read-only, full or absent', async (t) => {
  if (!canMount(t)) return;
  const { disks, broker, site, navOf, robotAt } = await stage(t);
  const rootOf = (id: string): string => site.path(id);
  for (const id of ['sealed', 'talking']) await disks.ext4(rootOf(id));
  await disks.tmpfs(rootOf('filled'), 'size=64m');
  await disks.tmpfs(site.path('void'), 'size=64m');
  remount(site.path('void'), 'ro');
  const robots = {
    sealed: robotAt('sealed'),
    talking: robotAt('talking'),
    filled: robotAt('filled'),
    absent: robotAt('absent', site.path('void')),
  };
  const { sealed, talking, filled, absent } = robots;
  await publish(site, broker, '1.0.0');
  for (const one of [sealed, talking, filled]) {
    for (const name of ['app', 'nav']) await one.component(name).runs('1.0.0');
  }
  await untilNavRuns(absent, broker, '1.0.0');
  await untilHeard([absent, broker], 'app', 'DISK_READ_ONLY');
  await talking.call('/ready', { ready: true });

  for (const one of [sealed, talking]) {
    await one.child.stop();
    remount(rootOf(one.id), 'ro');
    one.start();
    await untilHeard([one, broker], 'app', 'DISK_READ_ONLY');
  }
  await fill(rootOf('filled'));
  await publish(site, broker, '2.0.0');
  for (const one of [sealed, filled, absent]) await untilNavRuns(one, broker, '2.0.0');
  // Its state cannot be written either, and that goes before what an update would need.
  await untilHeard([filled, broker], 'app', 'DISK_FULL');
  for (const id of ['sealed', 'talking', 'filled']) {
    assert.equal(await readlink(join(rootOf(id), 'active')), 'releases/1.0.0');
  }

  // The application of this one is used to say when it is busy, and could not say it yet.
  await untilHeard([talking, broker], 'nav', 'DISK_READ_ONLY');
  assert.equal(await readlink(join(navOf('talking'), 'active')), 'releases/1.0.0');
  const spare = join(navOf('talking'), 'state/agent.sock');
  await callLocalApi(spare, 'POST', '/ready', { ready: true });
  await untilNavRuns(talking, broker, '2.0.0');

  // The tools find the agent by the socket that is open.
  const roots = ['--root', rootOf('sealed'), '--root', `nav=${navOf('sealed')}`];
  const status = startDrover(t, 'robot-client', ['status', ...roots]);
  assert.deepEqual(await status.exit, { code: 0, signal: null }, status.describe());
  assert.match(status.stdout, /"link"/);

  // The announcement accepted meanwhile is stored as a floor in the root that could be written.
  assert.ok((await seqOf(navOf('sealed'))) > (await seqOf(rootOf('sealed'))));

  remount(rootOf('sealed'), 'rw');
  remount(site.path('void'), 'rw');
  for (const one of [sealed, absent]) await one.component('app').runs('2.0.0', MEND_MS);
  await untilHeard([sealed, broker], 'app', null);
});

/** The floor of announcements in a root. */
async function seqOf(root: string): Promise<number> {
  const text = await readFile(join(root, 'state/seen.json'), 'utf8');
  return (JSON.parse(text) as { announcement: number }).announcement;
}

/** Until nothing more fits, whatever the file system keeps for itself. */
async function fill(folder: string): Promise<void> {
  const file = await open(join(folder, 'ballast'), 'w');
  try {
    for (let bytes = 1024 * 1024; bytes >= 1; bytes >>= 5) {
      for (;;) if (!(await fits(file.write(new Uint8Array(bytes))))) break;
    }
  } finally {
    await file.close();
  }
}

const fits = (written: Promise<unknown>): Promise<boolean> =>
  written.then(
    () => true,
    () => false,
  );
