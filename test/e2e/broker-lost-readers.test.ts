/**
 * A client that reads from a broker disconnects after any byte: the broker still serves the others.
 */

import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chmod, readdir } from 'node:fs/promises';
import { request, type RequestOptions } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { LIMITS } from '../../shared/base/limits.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { runTool, unmountFolder } from '../helpers/block-device.ts';
import { startDrover, type Child } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';

/** More than all buffers between a broker and its reader hold. */
const CHUNKS = 24;

async function startFilled(t: TestContext): Promise<BrokerChild> {
  const broker = await startBrokerChild(t);
  const wire = await connectWire(
    { url: broker.url, clientId: 'filler' },
    { onMessage: () => undefined },
    makeLog('test', 'silent'),
  );
  for (let at = 0; at < CHUNKS; at++) {
    const chunk = randomBytes(LIMITS.chunkBytesMax);
    await wire.send(chunkTopic(sha256Hex(chunk)), chunk, { retain: true, qos: 1 });
  }
  await wire.close();
  return broker;
}

/** Reads up to so many bytes of the answer and hangs up; 503 while another backup is ended. */
async function hangUp(call: RequestOptions | string, bytesMax: number): Promise<number> {
  const outgoing = typeof call === 'string' ? request(call) : request(call);
  outgoing.on('error', () => undefined); // we hang up, maybe before the answer
  outgoing.end();
  if (bytesMax === 0) await once(outgoing, 'finish');
  let status = 0;
  if (bytesMax > 0) {
    const [answer] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
    status = answer.statusCode ?? 0;
    let bytes = 0;
    for await (const piece of answer) {
      bytes += (piece as Buffer).byteLength;
      if (bytes >= bytesMax) break;
    }
  }
  outgoing.destroy();
  return status;
}

async function assertLives({ httpUrl, child }: BrokerChild): Promise<void> {
  assert.equal(child.ended, null, child.describe());
  assert.equal((await fetch(`${httpUrl}/healthz`)).status, 200);
}

async function wholeBackup(t: TestContext, { data, child }: BrokerChild): Promise<void> {
  const out = join(await tempFolder(t), 'whole.tar');
  await waitUntil('the door to be free', async () => {
    const tool = startDrover(t, 'broker', ['backup', '--data', data, '--out', out, '--json']);
    const { code } = await tool.exit;
    assert.equal(child.ended, null, child.describe());
    if (code !== 0) return null;
    assert.equal((JSON.parse(tool.stdout) as { chunks: number }).chunks, CHUNKS);
    return true;
  });
}

test('a broker outlives every backup that is broken off, and the next one is whole', async (t) => {
  const broker = await startFilled(t);
  const socketPath = join(broker.data, 'backup.sock');
  const answered: number[] = [];
  for (let round = 0; round < 60; round++) {
    const bytesMax = round % 10 === 0 ? 0 : randomInt(1, CHUNKS * LIMITS.chunkBytesMax);
    answered.push(await hangUp({ socketPath, path: '/backup', method: 'POST' }, bytesMax));
    assert.equal(broker.child.ended, null, broker.child.describe());
  }
  assert.ok(answered.filter((status) => status === 200).length > 10, String(answered));
  for (const signal of ['SIGINT', 'SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
    const out = join(await tempFolder(t), 'broken.tar');
    const tool = startDrover(t, 'broker', ['backup', '--data', broker.data, '--out', out]);
    await sleep(randomInt(100, 900)); // a moment of its life, whichever
    tool.kill(signal);
    await tool.exit;
    await assertLives(broker);
  }
  await wholeBackup(t, broker);
});

test('a backup that its own disk or user refuses says that, and not that the broker is at fault', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('mounting wants root');
  const broker = await startFilled(t);
  const small = await tempFolder(t);
  runTool('mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small);
  const backup = async (out: string, under: string[] = []): Promise<Child> => {
    const args = ['backup', '--data', broker.data, '--out', out];
    const tool = startDrover(t, 'broker', args, { under });
    await tool.exit;
    return tool;
  };
  try {
    const full = await backup(join(small, 'full.tar'));
    assert.equal(full.ended?.code, 3, full.describe());
    assert.match(full.stderr, /write backup .*full\.tar: .*\(DISK_FULL\)[^]*hint: free space/);
    assert.deepEqual(await readdir(small), [], 'nothing is left of it');
  } finally {
    unmountFolder(small);
  }
  const open = await tempFolder(t);
  await chmod(open, 0o777);
  const nobody = ['setpriv', '--reuid=65534', '--clear-groups'];
  const refused = await backup(join(open, 'nobody.tar'), nobody);
  if (!/MODULE_NOT_FOUND|EACCES[^]*dist/.test(refused.stderr)) {
    assert.equal(refused.ended?.code, 2, refused.describe());
    assert.match(
      refused.stderr,
      /EACCES.*\(FILE_REFUSED\)[^]*hint: run it as root, or as the user/,
    );
  }
  await assertLives(broker);
});

test('a broker outlives readers of its API that hang up, above all readers of events', async (t) => {
  const broker = await startBrokerChild(t);
  for (let round = 0; round < 20; round++) {
    const routes = ['/events', '/metrics', '/', '/robots', '/rollouts', '/healthz'];
    await Promise.all(
      routes.map((one) => hangUp(`${broker.httpUrl}${one}`, randomInt(0, 2_000) && 1)),
    );
  }
  await assertLives(broker);
});
