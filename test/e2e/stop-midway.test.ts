/**
 * SIGTERM to a real agent in the middle of a download and of unpacking a release: it ends in order,
 * nothing that is half written counts, and the next start goes on.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITS } from '../../shared/base/limits.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const CHUNK_BYTES = 64 * 1024;

/** Many small files, each with its fsync: unpacking them takes longer than looking for it. */
function manyFiles(): Record<string, string | Uint8Array> {
  const files: Record<string, string | Uint8Array> = { noise: randomBytes(2 * 1024 * 1024) };
  for (let nth = 0; nth < 1200; nth += 1) files[`lib/part-${nth}`] = `part ${nth}\n`;
  return files;
}

/** The process itself says that it ended in order; what takes longer than its bound fails. */
async function endsInOrder(robot: Robot): Promise<void> {
  robot.child.kill('SIGTERM');
  const timeoutMs = LIMITS.closeWaitMs + 5_000;
  const look = (): string => robot.child.describe();
  await waitUntil('the agent to end', () => robot.child.ended, { timeoutMs, look });
  assert.deepEqual(await robot.child.exit, { code: 0, signal: null }, robot.child.describe());
  assert.ok(existsSync(join(robot.root, 'state/clean')), 'the mark of an end in order');
  assert.equal(await readlink(join(robot.root, 'active')), 'releases/1.0.0');
  assert.deepEqual(await readdir(join(robot.root, 'releases')), ['1.0.0']);
}

test('an agent that gets SIGTERM in the middle of an update ends, and goes on later', async (t) => {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const robot = site.robot('r1', broker.url, ['--max-rate', '400k']);
  await site.publish(broker.url, await site.bundle('1.0.0'));
  await robot.runs('1.0.0');
  const bundle = await site.bundle('2.0.0', manyFiles());
  await site.publish(broker.url, bundle, '--chunk-size', '64k');
  const midway = await robot.until('is half way', ({ transfer }) => {
    return transfer !== null && transfer.bytes_done > transfer.bytes_total / 3;
  });
  await endsInOrder(robot);

  robot.start();
  const after = await robot.until('downloads again', ({ transfer }) => transfer !== null);
  assert.ok(after.transfer && midway.transfer);
  const kept = after.transfer.bytes_done - after.transfer.chunks_fetched * CHUNK_BYTES;
  assert.ok(kept >= midway.transfer.bytes_done, `kept ${kept} of ${midway.transfer.bytes_done}`);
  const staging = join(robot.root, 'staging');
  await waitUntil('half of the release', async () => {
    for (const name of await readdir(staging)) {
      const parts = await readdir(join(staging, name, 'tree/lib')).catch(() => []);
      if (parts.length > 50) return true;
    }
    return false;
  });
  await endsInOrder(robot);

  robot.start();
  await robot.runs('2.0.0');
  execFileSync('diff', ['-r', join(robot.root, 'active/'), site.path('apps/2.0.0')]);
});
