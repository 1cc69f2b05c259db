/** The shared fixtures behave as the tests that use them expect. */

import assert from 'node:assert/strict';
import { createServer, connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import { base64ToBytes } from '../../shared/crypto/bytes.ts';
import { parseChunkIndex } from '../../shared/transfer/chunk-index.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import { startChild } from '../helpers/child.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.ts';
import { withTempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';

test('makeFleet makes a bundle and an announcement that the core accepts', async () => {
  const fleet = makeFleet();
  const bundle = await fleet.makeBundle({ version: '1.1.0' });
  const announced = openAnnouncement(
    fleet.announce(7, [fleet.makeRollout('r-1', bundle)]),
    fleet.trust,
  );
  const rollout = announced.rollouts[0];
  assert.ok(rollout);
  const { manifest, signature } = rollout;
  const payloadSha256 = sha256Hex(bundle.payload);
  verifyBundle({
    manifestBytes: manifest,
    signatures: [signature],
    trust: fleet.trust,
    payloadSha256,
  });
  const [artifact] = rollout.artifacts;
  assert.ok(artifact);
  const index = parseChunkIndex(bundle.chunks.get(artifact.chunk_index) as Uint8Array, artifact);
  const parts = index.chunks.map((hash) => bundle.chunks.get(hash) as Uint8Array);
  assert.equal(sha256Hex(Buffer.concat(parts)), payloadSha256);
  assert.ok(gunzipSync(bundle.payload).includes('VERSION.txt'));
  assert.equal(
    base64ToBytes(fleet.makeRollout('r-1', bundle).manifest)?.byteLength,
    manifest.length,
  );
  const progress = openProgress(fleet.progress({ rollout: 'r-1', seq: 2 }), fleet.trust);
  assert.equal(progress.status, 'rolling');
});

test('waitUntil says what it waited for and what it saw', async () => {
  const never = waitUntil('the moon', () => false, { timeoutMs: 30, look: () => 'a dark sky' });
  await assert.rejects(never, /waited \d+ ms for the moon; last seen: false\na dark sky/);
  const failing = waitUntil('a file', () => Promise.reject(new Error('none')), { timeoutMs: 30 });
  await assert.rejects(failing, /last error: none/);
  assert.equal(await waitUntil('a value', () => 0), 0);
});

test('withTempFolder removes its folder when the test throws', async () => {
  let folder = '';
  const run = withTempFolder(async (made) => {
    folder = made;
    assert.ok(existsSync(folder));
    throw new Error('inside');
  });
  await assert.rejects(run, /inside/);
  assert.equal(existsSync(folder), false);
});

test('a child tells its output and its end, and a missing program is an end too', async (t) => {
  const script = 'process.stdin.on("data", (d) => process.stdout.write("got " + d))';
  const child = startChild(t, process.execPath, ['-e', script], { input: 'words' });
  await child.waitForOutput(/got words/);
  assert.deepEqual(await child.exit, { code: 0, signal: null });
  const none = startChild(t, 'drover-no-such-program', []);
  await assert.rejects(none.waitForOutput(/x/), /ended before it printed[\s\S]*ENOENT/);
});

/** A server that sends `bytes` to whoever connects, and what a client has of it. */
async function sender(
  t: TestContext,
  bytes: number,
): Promise<{ proxy: TcpProxy; open: () => { received: number; isClosed: boolean } }> {
  const server = createServer((socket) => {
    socket.on('error', () => {}); // the cut that the test asks for
    socket.write(new Uint8Array(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const proxy = await startTcpProxy(t, (server.address() as AddressInfo).port);
  const open = (): { received: number; isClosed: boolean } => {
    const seen = { received: 0, isClosed: false };
    const socket = connect(proxy.port, '127.0.0.1');
    socket.on('data', (piece) => (seen.received += piece.byteLength));
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => (seen.isClosed = true));
    t.after(() => void socket.destroy());
    return seen;
  };
  return { proxy, open };
}

test('the proxy cuts a link after exactly so many bytes, once', async (t) => {
  const { proxy, open } = await sender(t, 1_000_000);
  proxy.cutAfter(300_000);
  const first = open();
  await waitUntil('the cut', () => first.isClosed);
  assert.equal(proxy.bytesDown, 300_000);
  assert.ok(first.received <= 300_000);
  const second = open();
  await waitUntil('all bytes', () => second.received === 1_000_000);
});

test('the proxy refuses new links, and holds back everything while stalled', async (t) => {
  const { proxy, open } = await sender(t, 50_000);
  proxy.refuse(true);
  const refused = open();
  await waitUntil('the refusal', () => refused.isClosed);
  proxy.refuse(false);
  proxy.stall(true);
  const stalled = open();
  await waitUntil('the link', () => proxy.connectionsOpen === 1);
  assert.equal(stalled.received, 0);
  proxy.stall(false);
  await waitUntil('all bytes', () => stalled.received === 50_000);
});

test('the proxy slows a link down and still brings every byte', async (t) => {
  const { proxy, open } = await sender(t, 200_000);
  proxy.throttle(1_000_000);
  const startedAtMs = performance.now();
  const slow = open();
  await waitUntil('all bytes', () => slow.received === 200_000);
  // A lower bound holds on any machine, however slow: bytes before the last piece were paid for.
  assert.ok(performance.now() - startedAtMs >= 100);
});
