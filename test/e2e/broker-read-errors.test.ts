/**
 * A broker on a disk that cannot be read: no request ends the process, and everything that is whole
 * on the disk is served as soon as it can be read again.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { describe, it, type TestContext } from 'node:test';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { startChild } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';

const quiet = makeLog('test', 'silent');
const ROUTES = [
  ...['/', '/robots', '/robots/versions', '/robots/r1', '/rollouts', '/requests', '/engine'],
  ...['/garbage', '/metrics', '/healthz', '/upstream', '/rollouts/none/history'],
];

/** No door may keep its caller waiting for ever. */
const soon = (): RequestInit => ({ signal: AbortSignal.timeout(10_000) });

type Got = Map<string, Buffer>;

async function robot(t: TestContext, broker: BrokerChild, id = 'robot-r1'): Promise<[Wire, Got]> {
  const got: Got = new Map();
  const wire = await connectWire(
    {
      url: broker.url,
      clientId: id,
      will: { topic: 'fleet/robots/r1/online', payload: Buffer.from('{}'), retain: true },
    },
    { onMessage: (topic, payload) => void got.set(topic, Buffer.from(payload)) },
    quiet,
  );
  t.after(() => wire.close());
  return [wire, got];
}

const ask = (wire: Wire, hashes: readonly Sha256Hex[]): Promise<void> =>
  wire.send(
    'fleet/robots/r1/want',
    Buffer.from(JSON.stringify({ robot_id: 'r1', at: new Date().toISOString(), chunks: hashes })),
    { retain: false, qos: 1 },
  );

async function store(wire: Wire, chunk: Buffer): Promise<Sha256Hex> {
  const hash = sha256Hex(chunk);
  await wire.send(chunkTopic(hash), chunk, { retain: true, qos: 1 });
  return hash;
}

function pathOf(broker: BrokerChild, hash: Sha256Hex): string {
  return join(broker.data, 'chunks', hash.slice(0, 2), hash);
}

/** Asks until it comes: the first question may fall into the time before. */
async function assertComes(wire: Wire, got: Got, hash: Sha256Hex, chunk: Buffer): Promise<void> {
  await wire.subscribe([chunkTopic(hash)], 1);
  await waitUntil(`chunk ${hash.slice(0, 8)}`, async () => {
    if (!got.has(chunkTopic(hash))) await ask(wire, [hash]);
    return got.get(chunkTopic(hash))?.equals(chunk) === true;
  });
}

function assertUnharmed({ child }: BrokerChild): void {
  assert.equal(child.ended, null, child.describe());
  assert.doesNotMatch(child.stderr, /unhandled failure/);
}

/** Calls that read or change files; a question mark passes over what a processor does not have. */
const DISK_CALLS = [
  ...['openat', 'pread64', 'pwrite64', 'pwritev', 'fsync', 'fdatasync', 'mkdir', 'statx', 'access'],
  ...['rename', 'unlink', 'statfs', 'stat'],
].map((name) => `?${name}`);

/** All of those fail from now on, until what it resolves to is called. */
async function breakDisk(
  t: TestContext,
  strace: string,
  broker: BrokerChild,
): Promise<() => Promise<void>> {
  const log = join(await tempFolder(t), 'strace.log');
  const calls = DISK_CALLS.join(',');
  const options = ['-f', '-o', log, '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO`];
  const tracer = startChild(t, strace, [...options, '-p', String(broker.child.pid)]);
  await tracer.waitForOutput(/attached/);
  return async () => {
    tracer.kill('SIGINT');
    await tracer.exit;
    const seen = await readFile(log, 'utf8');
    for (const call of ['openat', 'fdatasync']) assert.match(seen, new RegExp(`${call}.*INJECTED`));
  };
}

/** Each way by which a stranger or a person makes the broker use its disk. Failures are expected. */
async function openEveryDoor(t: TestContext, broker: BrokerChild, hash: Sha256Hex): Promise<void> {
  const url = broker.url;
  const options = { reconnectPeriod: 0, connectTimeout: 3_000 } as const;
  const clients = ['robot-r1', 'kept', 'writer'].map((clientId) =>
    mqtt.connect(url, {
      ...{ ...options, clientId, clean: clientId !== 'kept' },
      will: { topic: 'fleet/robots/r1/online', payload: '{}', qos: 1, retain: true },
    }),
  );
  t.after(() => Promise.all(clients.map((client) => client.endAsync(true))));
  for (const client of clients) client.on('error', () => undefined); // refusals are expected
  const [asker, kept, writer] = clients as [mqtt.MqttClient, mqtt.MqttClient, mqtt.MqttClient];
  const want = { robot_id: 'r1', at: new Date().toISOString(), chunks: [hash] };
  asker.subscribe(chunkTopic(hash));
  for (let n = 0; n < 5; n += 1) asker.publish('fleet/robots/r1/want', JSON.stringify(want));
  kept.subscribe('fleet/robots/+/events', { qos: 1 });
  const chunk = randomBytes(5_000);
  const sent = [
    [chunkTopic(sha256Hex(chunk)), chunk, true],
    ['fleet/robots/r1/state', Buffer.from('{}'), true],
    ['fleet/robots/r1/events', Buffer.from('{}'), false],
  ] as const;
  for (const [topic, payload, retain] of sent) writer.publish(topic, payload, { qos: 1, retain });
  for (const path of ROUTES) await (await fetch(`${broker.httpUrl}${path}`, soon())).text();
  await new Promise<void>((resolve) => {
    const call = request({
      socketPath: join(broker.data, 'backup.sock'),
      path: '/backup',
      method: 'POST',
    });
    call.once('response', (answer) => answer.resume().once('close', resolve));
    call.once('error', () => resolve());
    call.end();
  });
  for (const client of clients) client.stream.destroy(); // wills are published and removed
}

describe('a broker whose disk cannot be read', () => {
  it('sends what is whole when robots want it beside what cannot be read', async (t) => {
    const broker = await startBrokerChild(t);
    const [wire, got] = await robot(t, broker);
    const chunks = [0, 1, 2].map(() => randomBytes(20_000)) as [Buffer, Buffer, Buffer];
    const [folder, loop, whole] = [
      await store(wire, chunks[0]),
      await store(wire, chunks[1]),
      await store(wire, chunks[2]),
    ];
    for (const hash of [folder, loop]) await rm(pathOf(broker, hash));
    await mkdir(pathOf(broker, folder));
    await symlink(pathOf(broker, loop), pathOf(broker, loop));
    await wire.subscribe([folder, loop, whole].map(chunkTopic), 1);
    await ask(wire, [folder, loop, whole]);
    await waitUntil('the whole one', () => got.get(chunkTopic(whole))?.equals(chunks[2]) === true);
    assertUnharmed(broker);
    assert.equal(await store(wire, chunks[1]), loop, 'a link in a circle is replaced');
    await assertComes(wire, got, loop, chunks[1]);
    await rm(pathOf(broker, folder), { recursive: true });
    await store(wire, chunks[0]);
    await assertComes(wire, got, folder, chunks[0]);
    assertUnharmed(broker);
  });

  it('lives behind every door, and serves again when the disk does', async (t) => {
    const strace = requirePeer(t, 'strace');
    if (strace === null) return;
    const broker = await startBrokerChild(t);
    const [wire] = await robot(t, broker, 'before');
    const chunk = randomBytes(20_000);
    const hash = await store(wire, chunk);
    const mend = await breakDisk(t, strace, broker);
    await openEveryDoor(t, broker, hash);
    assertUnharmed(broker);
    await mend();
    assertUnharmed(broker);
    await waitUntil(
      'health',
      async () => (await fetch(`${broker.httpUrl}/healthz`)).status === 200,
    );
    const [after, gotAfter] = await robot(t, broker, 'after');
    await assertComes(after, gotAfter, hash, chunk);
    assertUnharmed(broker);
  });

  it('out of descriptors: those that are connected are served afterwards', async (t) => {
    const prlimit = requirePeer(t, 'prlimit');
    if (prlimit === null) return;
    const broker = await startBrokerChild(t);
    const [wire, got] = await robot(t, broker);
    const chunk = randomBytes(20_000);
    const hash = await store(wire, chunk);
    const limit = (soft: string): void => {
      spawn(prlimit, ['--pid', String(broker.child.pid), `--nofile=${soft}:`]);
    };
    limit('20');
    await wire.subscribe([chunkTopic(hash)], 1);
    for (let n = 0; n < 10; n += 1) await ask(wire, [hash]);
    assertUnharmed(broker);
    limit('4096');
    await assertComes(wire, got, hash, chunk);
    assertUnharmed(broker);
  });
});
