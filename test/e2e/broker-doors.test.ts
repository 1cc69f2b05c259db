/** Messages and requests that the broker must refuse, over real sockets. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { chunkTopic, robotTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';

const quiet = makeLog('test', 'silent');
const RETAINED = { retain: true, qos: 1 } as const;

async function open(
  url: string,
  options: Partial<Login> & { onMessage?: (topic: string, payload: Uint8Array) => void } = {},
): Promise<Wire> {
  const { onMessage = () => {}, ...login } = options;
  const clientId = `test-${randomBytes(4).toString('hex')}`;
  return await connectWire(
    { url, clientId, listenForRefusals: true, ...login },
    { onMessage },
    quiet,
  );
}

function rawSocket(t: TestContext, broker: BrokerChild): { socket: Socket; closed: () => boolean } {
  const socket = connect(broker.port, '127.0.0.1');
  let isClosed = false;
  socket.on('error', () => undefined); // a reset is what these tests provoke
  socket.on('close', () => (isClosed = true));
  t.after(() => void socket.destroy());
  return { socket, closed: () => isClosed };
}

async function assertServes(broker: BrokerChild): Promise<void> {
  const chunk = randomBytes(100);
  const wire = await open(broker.url);
  await wire.send(chunkTopic(sha256Hex(chunk)), chunk, RETAINED);
  await wire.close();
}

describe('the guard of a connection', () => {
  it('closes it at the header of a packet that is too large, before and after CONNECT', async (t) => {
    const broker = await startBrokerChild(t);
    const before = rawSocket(t, broker);
    before.socket.write(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]));
    await waitUntil('the first to be closed', before.closed);
    const after = rawSocket(t, broker);
    after.socket.write(
      generate({
        cmd: 'connect',
        clientId: 'raw',
        clean: true,
        keepalive: 0,
        protocolId: 'MQTT',
        protocolVersion: 4,
      }),
    );
    await new Promise((resolve) => after.socket.once('data', resolve));
    after.socket.write(Buffer.from([0x32, 0x81, 0x90, 0x20])); // PUBLISH of 512 KiB and a bit
    await waitUntil('the second to be closed', after.closed);
    await assertServes(broker);
  });

  it('outlives any bytes', async (t) => {
    const broker = await startBrokerChild(t);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        const { socket } = rawSocket(t, broker);
        await new Promise<void>((resolve) => socket.end(bytes, () => resolve()));
      }),
      { numRuns: 100 },
    );
    await assertServes(broker);
    assert.equal(broker.child.ended, null);
  });

  it('refuses connections above the quota and serves those it has', async (t) => {
    const broker = await startBrokerChild(t, { args: ['--max-connections', '2'] });
    const held = [await open(broker.url), await open(broker.url)];
    const third = rawSocket(t, broker);
    await waitUntil('the third to be closed', third.closed);
    await held[0]?.send(
      robotTopic(parseRobotId('r1'), 'online'),
      encodeMessage({ online: true }),
      RETAINED,
    );
    for (const wire of held) await wire.close();
  });
});

describe('a message that is not taken', () => {
  it('says why when its chunk is not what its topic says, and the connection goes on', async (t) => {
    const broker = await startBrokerChild(t);
    const wire = await open(broker.url);
    const hash = sha256Hex(Buffer.from('promised'));
    const sent = wire.send(chunkTopic(hash), Buffer.from('other bytes'), RETAINED);
    await assert.rejects(sent, { code: 'CHUNK_HASH_MISMATCH' });
    const chunk = randomBytes(10);
    await wire.send(chunkTopic(sha256Hex(chunk)), chunk, RETAINED);
    await wire.close();
  });

  it('ends the connection of a client that does not listen for reasons [P-9.1]', async (t) => {
    const broker = await startBrokerChild(t);
    const wire = await connectWire(
      { url: broker.url, clientId: 'deaf' },
      { onMessage: () => {} },
      quiet,
    );
    const hash = sha256Hex(Buffer.from('promised'));
    const sent = wire.send(chunkTopic(hash), Buffer.from('other bytes'), RETAINED);
    await assert.rejects(sent, { code: 'BROKER_UNREACHABLE' });
    await wire.close();
  });

  it('is refused when the store is full, and what is stored is served on', async (t) => {
    const broker = await startBrokerChild(t, { args: ['--max-store', '3k'] });
    const kept = randomBytes(2_000);
    const got: Sha256Hex[] = [];
    const wire = await open(broker.url, {
      onMessage: (_topic, payload) => void got.push(sha256Hex(payload)),
    });
    await wire.send(chunkTopic(sha256Hex(kept)), kept, RETAINED);
    const more = randomBytes(2_000);
    await assert.rejects(wire.send(chunkTopic(sha256Hex(more)), more, RETAINED), {
      code: 'STORE_FULL',
    });
    await wire.subscribe([chunkTopic(sha256Hex(kept))], 1);
    await waitUntil('the stored chunk', () => got.includes(sha256Hex(kept)));
    await wire.close();
  });

  it('is refused with its own code when it is signed and wrong, and the stored one stays', async (t) => {
    const fleet = makeFleet();
    const trust = join(await tempFolder(t), 'trust.json');
    await writeFile(trust, fleet.trustBytes);
    const broker = await startBrokerChild(t, { args: ['--trust', trust] });
    const rollout = fleet.makeRollout('one', await fleet.makeBundle({ version: '1.0.0' }));
    const wire = await open(broker.url);
    const announce = (bytes: Uint8Array) => wire.send(UPDATES_TOPIC, bytes, RETAINED);
    const good = fleet.announce(10, [rollout]);
    await announce(good);
    const other = makeFleet('other');
    const unsigned = { ...rollout, signature: Buffer.alloc(64).toString('base64') };
    const cases: [string, Uint8Array][] = [
      ['ANNOUNCEMENT_REPLAYED', fleet.announce(9, [rollout])],
      ['SEQ_CONFLICT', fleet.announce(10, [])],
      ['FLEET_WRONG', other.announce(11, [])],
      ['ANNOUNCEMENT_EXPIRED', fleet.announce(11, [], { expires_at: '2026-01-02T00:00:00Z' })],
      ['BUNDLE_SIGNATURE_BAD', fleet.announce(11, [unsigned])],
      ['JSON_INVALID', randomBytes(40)],
      ['ANNOUNCEMENT_INVALID', new Uint8Array(0)],
    ];
    for (const [code, bytes] of cases) await assert.rejects(announce(bytes), { code }, code);
    let stored: Uint8Array | null = null;
    const reader = await open(broker.url, {
      onMessage: (_topic, payload) => void (stored = payload.slice()),
    });
    await reader.subscribe([UPDATES_TOPIC], 1);
    await waitUntil('the stored announcement', () => stored !== null);
    assert.deepEqual(Buffer.from(stored ?? []), Buffer.from(good));
    for (const one of [wire, reader]) await one.close();
  });
});

describe('a chunk', () => {
  it('is sent to a client that asked for it before it was there', async (t) => {
    const broker = await startBrokerChild(t);
    const chunk = randomBytes(5_000);
    const got: Sha256Hex[] = [];
    const early = await open(broker.url, {
      onMessage: (_topic, payload) => void got.push(sha256Hex(payload)),
    });
    await early.subscribe([chunkTopic(sha256Hex(chunk))], 1);
    const publisher = await open(broker.url);
    await publisher.send(chunkTopic(sha256Hex(chunk)), chunk, RETAINED);
    await waitUntil('the chunk', () => got.includes(sha256Hex(chunk)));
    for (const wire of [early, publisher]) await wire.close();
  });

  it('that rotted on disk is not served, and is healed by another upload [P-7.6]', async (t) => {
    const broker = await startBrokerChild(t);
    const chunk = randomBytes(5_000);
    const hash = sha256Hex(chunk);
    const got: Sha256Hex[] = [];
    const wire = await open(broker.url, {
      onMessage: (_topic, payload) => void got.push(sha256Hex(payload)),
    });
    await wire.send(chunkTopic(hash), chunk, RETAINED);
    const shard = join(broker.data, 'chunks', hash.slice(0, 2));
    assert.deepEqual(await readdir(shard), [hash]);
    await writeFile(join(shard, hash), 'rotten');
    await wire.subscribe([chunkTopic(hash)], 1);
    await waitUntil('the rotten file to go', async () => (await readdir(shard)).length === 0);
    await wire.send(chunkTopic(hash), chunk, RETAINED);
    await waitUntil('the healed chunk', () => got.includes(hash));
    assert.deepEqual(got, [hash], 'nothing rotten was ever delivered');
    await wire.close();
  });
});

describe('credentials', () => {
  it('keep a robot to its own topics, a stranger out, and a technician to reading', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const robot = await addUser(file, 'r1', 'robot');
    const technician = await addUser(file, 'op', 'technician');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    await assert.rejects(open(broker.url), { code: 'BROKER_AUTH_REFUSED' });
    const guess = { username: 'r1', password: 'guess' };
    await assert.rejects(open(broker.url, guess), { code: 'BROKER_AUTH_REFUSED' });
    for (const url of [broker.url, broker.wsUrl]) {
      const wire = await open(url, robot);
      const online = encodeMessage({ online: true });
      await wire.send(robotTopic(parseRobotId('r1'), 'online'), online, RETAINED);
      for (const filter of [
        '#',
        'fleet/#',
        'fleet-chunks/#',
        'fleet/robots/r2/want',
        'fleet/robots/+/want',
      ]) {
        await assert.rejects(wire.subscribe([filter], 1), { code: 'ACCESS_DENIED' }, filter);
      }
      await wire.subscribe([UPDATES_TOPIC, 'fleet/rollouts/+'], 1);
      const foreign = wire.send(robotTopic(parseRobotId('r2'), 'online'), online, RETAINED);
      await assert.rejects(foreign, { code: 'ACCESS_DENIED' });
      await wire.close();
    }
    const reader = await open(broker.url, technician);
    await reader.subscribe(['fleet/#'], 1);
    await assert.rejects(reader.send(UPDATES_TOPIC, Buffer.from('{}'), RETAINED), {
      code: 'ACCESS_DENIED',
    });
    await reader.close();
  });
});
