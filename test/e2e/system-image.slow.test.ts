/**
 * A system image on its whole way: built, signed, published, written into the other slot of a robot
 * whose restart starts the agent again, confirmed; and one that is not healthy, which goes back.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { A, makeOwn, type BootLoader } from '../robot-client/boot/boot-loaders.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const SLOT_BYTES = 64 * 1024 * 1024;

const NOISE = randomBytes(256 * 1024);

/** Almost only zeroes, as a new file system is: gzip makes it a thousand times smaller. */
async function bundleOf(site: Site, version: string, ...more: string[]): Promise<string> {
  const [image, out] = [site.path(`root-${version}.img`), site.path('bundles', version)];
  await writeFile(image, Buffer.concat([Buffer.from(`system ${version}`), NOISE]));
  await truncate(image, SLOT_BYTES / 2);
  const what = ['--version', version, '--arch', 'any', '--compatible', 'board-3'];
  const built = await site.drover('build', '--image', image, ...what, ...more, '--out', out);
  assert.match(built, /^applied by slot_image\nfor machines: board-3$/m);
  await site.drover('sign', out, '--key', site.path('release.key'));
  return out;
}

async function slotFiles(site: Site): Promise<Record<'A' | 'B', string>> {
  const files = { A: site.path('slot-a'), B: site.path('slot-b') };
  for (const path of Object.values(files)) {
    await writeFile(path, '');
    await truncate(path, SLOT_BYTES);
  }
  return files;
}

/** The machine: when the agent has ended, the boot loader chooses, and the agent starts again. */
function machineOf(t: TestContext, robot: Robot, loader: BootLoader): void {
  let isOver = false;
  t.after(() => (isOver = true));
  const run = async (): Promise<void> => {
    for (;;) {
      await robot.child.exit;
      if (isOver) return;
      await loader.open(await loader.boot());
      robot.start();
    }
  };
  run().catch((thrown: unknown) => t.diagnostic(`the machine is broken: ${String(thrown)}`));
}

test('an image is built, published, booted and confirmed, and a bad one goes back', async (t) => {
  const site = await Site.open(t);
  const broker = await startBrokerChild(t, { args: ['--trust', site.path('trust.json')] });
  const first = await bundleOf(site, '2.0.0');
  const inspected = await site.drover('inspect', first);
  assert.match(inspected, /^strategy {4}slot_image\nmachines {4}board-3\nimage {7}32\.0 MiB, /m);
  const verified = await site.drover('verify', first, '--trust', site.path('trust.json'));
  assert.match(verified, /^ok: an image of 32\.0 MiB for a system slot$/m);

  const boot = site.path('boot.d');
  await mkdir(boot);
  const loader = await makeOwn(boot);
  await loader.open(A);
  const files = await slotFiles(site);
  const reboot = site.path('reboot');
  await writeFile(reboot, '#!/bin/sh\nkill -9 $PPID\n');
  await chmod(reboot, 0o755);
  const slots = ['--boot', `programs:${boot}`, '--slot-device', `A=${files.A},B=${files.B}`];
  const own = ['--compatible', 'board-3', '--reboot-command', reboot];
  const robot = site.robot('r1', broker.url, [...slots, ...own]);
  machineOf(t, robot, loader);
  const other = site.robot('r2', broker.url, ['--compatible', 'board-3']);
  const fleet = async (): Promise<string> =>
    await site.drover('fleet', 'robots', '--broker', broker.url);
  await waitUntil('two robots', async () => /r1[^]*r2/.test(await fleet()), {
    look: () => robot.child.describe(),
  });

  await site.tryDrover({}, ...site.publishArgs(broker.url, first, '--id', 's-1'));
  await robot.runs('2.0.0');
  assert.equal((await readFile(join(boot, 'mark'), 'utf8')).trim(), 'B,+');
  assert.match((await readFile(files.B)).subarray(0, 20).toString(), /^system 2\.0\.0/);
  assert.match(await fleet(), /^r1 .* 2\.0\.0 \(slot_image\) /m);
  await other.until('says why not', ({ last_error: why }) => why?.code === 'BOOT_MISSING');

  await mkdir(robot.hooks, { recursive: true });
  await writeFile(
    join(robot.hooks, 'health'),
    '#!/bin/sh\n[ "$DROVER_VERSION" != 2.1.0 ] || exit 70\n',
  );
  await chmod(join(robot.hooks, 'health'), 0o755);
  const second = await bundleOf(site, '2.1.0', '--delta-from', first);
  assert.match(
    await site.drover('inspect', second),
    /^delta {7}from the image of 2\.0\.0 \(sha256 [0-9a-f]{12}\), [0-9.]+ (?:B|KiB), with zstd, /m,
  );
  const published = await site.drover(...site.publishArgs(broker.url, second, '--id', 's-2'));
  assert.match(published, /^delta from 2\.0\.0: .* in place of 2[0-9.]+ KiB, without zstd$/m);
  await robot.until('goes back', (one) => one.last_error?.code === 'HEALTH_FAILED');
  await robot.runs('2.0.0');
  const { last_update: last } = await robot.status();
  assert.deepEqual([last?.version, last?.delta_from], ['2.1.0', '2.0.0']);
  assert.equal((await readFile(join(boot, 'now'), 'utf8')).trim(), 'B');
  assert.equal((await readFile(join(boot, 'mark'), 'utf8')).trim(), 'B,x');
});
