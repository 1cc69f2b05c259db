/**
 * Power cuts on the real ext4, block by block: the short version of `npm run bench -- power 600`,
 * with other cuts every time. The control takes fsync away from the same life: a checker that finds
 * nothing there would find nothing at all.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import { requireBlockDevices } from '../helpers/block-device.ts';
import { SEED_VARIABLE, seedOfRun } from '../helpers/run-seed.ts';
import { LOGGED_DISK_PROGRAMS } from './logged-disk.ts';
import { NO_FSYNC_LIBRARY } from './power-record.ts';
import { runPowerCuts } from './power-run.ts';

const STATES = 64;
const CONTROL_STATES = 16;
/** Of them; most are, but where a cut falls is random. */
const CONTROL_BROKEN_MIN = 3;

const hasPeers = (t: TestContext): boolean =>
  requireBlockDevices(t, [...LOGGED_DISK_PROGRAMS, 'mkfs.ext4'], ['/dev/fuse']);

test('a robot boots a whole version wherever the power is cut in its life, and goes on', async (t) => {
  if (!hasPeers(t)) return;
  const seed = seedOfRun();
  t.diagnostic(`${SEED_VARIABLE}=${seed}`);
  const result = await runPowerCuts(t, {
    ...{ fileSystem: 'ext4', states: STATES, seed },
    ...{ isWithoutFsync: false, goOnEvery: 12 },
  });
  assert.deepEqual(result.broken, []);
  assert.equal(result.states, STATES);
  const steps = [...result.byStep].map(([name, count]) => `${name} ${count}`).join(', ');
  t.diagnostic(`${steps}; ${result.tornWrites} torn writes, ${result.wentOn} went on`);
});

test('the same life without fsync is found broken', async (t) => {
  if (!hasPeers(t)) return;
  const preload = spawnSync('true', { env: { LD_PRELOAD: NO_FSYNC_LIBRARY }, encoding: 'utf8' });
  if (preload.stderr !== '') {
    const why = 'libeatmydata1 is not installed: bash test/install-peers.sh';
    if (process.env['CI'] === 'true') throw new Error(why);
    return t.skip(why);
  }
  const result = await runPowerCuts(t, {
    ...{ fileSystem: 'ext4', states: CONTROL_STATES, seed: seedOfRun() },
    ...{ isWithoutFsync: true, goOnEvery: CONTROL_STATES + 1 },
  });
  t.diagnostic(`${result.broken.length} of ${result.states} broken`);
  assert.ok(result.broken.length >= CONTROL_BROKEN_MIN, result.broken.join('\n'));
});
