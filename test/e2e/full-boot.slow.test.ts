/** A real robot whose state is lost and whose disk is full at the same boot, on a real ext4. */

import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, rmSync, writeFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { startBrokerChild } from './broker-child.ts';
import { canMount, MEND_MS, mounts, remount } from './mounted-roots.ts';
import { Site } from './site.ts';

/** Down to the last block: what is reserved for root as well. */
function fill(file: string): void {
  for (const bytes of [1 << 20, 1 << 12, 1]) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: 'a' });
    } catch {
      continue; // full for pieces of that size
    }
  }
}

test('a confirmed version stays when its state is lost and the disk is full or read-only', async (t) => {
  if (!canMount(t)) return;
  const disks = mounts(t);
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const root = site.path('r1');
  await disks.ext4(root);
  const robot = site.robot('r1', broker.url);
  for (const version of ['1.0.0', '2.0.0']) {
    await site.publish(broker.url, await site.bundle(version));
    await robot.runs(version);
  }
  await robot.child.stop();
  const boot = async (exitCode = 3): Promise<string> => {
    const child = startDrover(t, 'robot-client', ['recover', '--root', root]);
    assert.equal((await child.exit).code, exitCode, child.describe());
    return child.describe();
  };
  const loseState = (): void => {
    for (const name of readdirSync(join(root, 'state'))) {
      if (/^(?:machine\.json|spare-\d+)$/.test(name)) rmSync(join(root, 'state', name));
    }
  };
  const [active, filler] = [join(root, 'active'), join(root, 'filler')];
  rmSync(join(root, 'state/machine.json'));
  fill(filler);
  assert.match(await boot(0), /boot 1 of 2\.0\.0/, 'a spare file takes the state');
  loseState();
  fill(filler);
  for (const nth of [1, 2, 3, 4]) {
    assert.match(await boot(), /DISK_FULL[^]*2\.0\.0 stays/, `boot ${nth}`);
    assert.equal(readlinkSync(active), 'releases/2.0.0');
  }
  assert.ok(statSync(filler).size > 0);
  truncateSync(filler, 0);
  remount(root, 'ro');
  assert.match(await boot(), /DISK_READ_ONLY[^]*2\.0\.0 stays/);
  remount(root, 'rw');
  robot.start();
  await robot.runs('2.0.0', MEND_MS);
  await site.publish(broker.url, await site.bundle('3.0.0'));
  await robot.runs('3.0.0');
});
