import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import {
  generate,
  parser,
  type IPublishPacket,
  type ISubackPacket,
  type Packet,
} from 'mqtt-packet';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { connectWire } from '../../../shared/io/mqtt-wire.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { chunkTopic } from '../../../shared/formats/topics.ts';
import { startBroker } from '../../../broker/compose.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const log = makeLog('test', 'silent');
/** Half a second each: what the kernel holds takes a broker that goes on reading longer than one. */
const STILL_LOOKS = 6;

/** A broker in this process with so many chunks of the largest size. */
async function brokerWith(t: TestContext, count: number): Promise<[number, Sha256Hex[]]> {
  const broker = await startBroker({
    dataFolder: await tempFolder(t),
    host: '127.0.0.1',
    httpPort: 0,
    publicMqtt: null,
    certificateFiles: null,
    credentialsFile: null,
    authorityFiles: null,
    logPolicy: null,
    trust: null,
    storeBytesMax: 1e9,
    keepUnannouncedMs: null,
    lead: null,
    webhooks: [],
    engine: {
      kind: 'embedded',
      doors: { mqttPort: 0, mqttsPort: null, wsPort: null },
      connectionsMax: 100,
      wsOrigins: [],
      bytesPerSecondMax: null,
      upstream: null,
    },
    log,
  });
  t.after(() => broker.close());
  const port = broker.mqttPort as number;
  const wire = await connectWire(
    { url: `mqtt://127.0.0.1:${port}`, clientId: 'publisher' },
    { onMessage: () => undefined },
    log,
  );
  t.after(() => wire.close()); // also when something fails: an open link would keep the run alive
  const hashes: Sha256Hex[] = [];
  for (let at = 0; at < count; at += 1) {
    const bytes = randomBytes(LIMITS.chunkBytesMax);
    hashes.push(sha256Hex(bytes));
    await wire.send(chunkTopic(sha256Hex(bytes)), bytes, { retain: true, qos: 1 });
  }
  await wire.close();
  return [port, hashes];
}

/** A robot on a bare socket: sees each packet as it is. */
async function robot(
  t: TestContext,
  port: number,
  id: string,
  clean = true,
  keepalive = 0,
): Promise<Bare> {
  const socket = createConnection(port, '127.0.0.1');
  t.after(() => socket.destroy());
  const packets: Packet[] = [];
  const reader = parser();
  reader.on('packet', (packet) => packets.push(packet));
  socket.on('data', (bytes) => reader.parse(bytes));
  const send = (packet: Packet): void => void socket.write(generate(packet));
  const protocol = { protocolId: 'MQTT', protocolVersion: 4 } as const;
  send({ cmd: 'connect', clientId: id, clean, keepalive, ...protocol });
  await waitUntil('CONNACK', () => packets.length > 0);
  return { socket, packets, send };
}

interface Bare {
  readonly socket: Socket;
  readonly packets: Packet[];
  send(packet: Packet): void;
}

const chunksOf = ({ packets }: Bare): IPublishPacket[] =>
  packets.filter((one): one is IPublishPacket => one.cmd === 'publish');

function suback({ packets }: Bare): ISubackPacket {
  const found = packets.find((one): one is ISubackPacket => one.cmd === 'suback');
  assert.ok(found);
  return found;
}

const subscribe = (robot: Bare, hashes: readonly Sha256Hex[], qos: 0 | 1): void =>
  robot.send({
    cmd: 'subscribe',
    messageId: 7,
    subscriptions: hashes.map((hash) => ({ topic: chunkTopic(hash), qos })),
  });

describe('a chunk that is asked for', () => {
  it('comes whole after SUBACK, retained, with QoS 0 granted whatever was asked for [P-7.6]', async (t) => {
    const [port, hashes] = await brokerWith(t, 3);
    for (const qos of [0, 1] as const) {
      const one = await robot(t, port, `robot-${qos}`);
      subscribe(one, hashes, qos);
      await waitUntil('three chunks', () => chunksOf(one).length === 3);
      assert.deepEqual(suback(one).granted, [0, 0, 0]);
      const chunks = chunksOf(one);
      assert.deepEqual(
        chunks.map(({ payload }) => sha256Hex(payload as Buffer)),
        hashes,
      );
      assert.deepEqual(
        chunks.map(({ topic }) => topic),
        hashes.map(chunkTopic),
      );
      for (const chunk of chunks) {
        assert.equal(chunk.qos, 0);
        assert.equal(chunk.retain, true);
        assert.equal(chunk.dup, false);
      }
    }
  });

  it('comes to a robot while others take nothing of theirs', async (t) => {
    const [port, hashes] = await brokerWith(t, 24);
    const stalled: Bare[] = [];
    for (let at = 0; at < 8; at += 1) {
      const one = await robot(t, port, `stalled-${at}`);
      one.socket.pause();
      subscribe(one, hashes, 1);
      stalled.push(one);
    }
    const quick = await robot(t, port, 'quick');
    subscribe(quick, hashes, 1);
    await waitUntil('all chunks', () => chunksOf(quick).length === hashes.length);
    const got = chunksOf(quick).map(({ payload }) => sha256Hex(payload as Buffer));
    assert.deepEqual(got, hashes);
    for (const one of stalled) assert.equal(chunksOf(one).length, 0);
    // Their chunks wait for them, unharmed by all that went through the same memory.
    const [first] = stalled as [Bare];
    first.socket.resume();
    await waitUntil('the chunks of the first', () => chunksOf(first).length === hashes.length);
    const late = chunksOf(first).map(({ payload }) => sha256Hex(payload as Buffer));
    assert.deepEqual(late, hashes);
  });

  it('is not sent to a client that unsubscribed before its turn', async (t) => {
    const [port, hashes] = await brokerWith(t, 24);
    const one = await robot(t, port, 'leaver');
    one.socket.pause();
    subscribe(one, hashes, 0);
    const rest = hashes.slice(1).map(chunkTopic);
    one.send({ cmd: 'unsubscribe', messageId: 8, unsubscriptions: rest });
    one.send({ cmd: 'pingreq' });
    one.socket.resume();
    await waitUntil('the answer to PINGREQ', () => one.packets.some((p) => p.cmd === 'pingresp'));
    assert.ok(chunksOf(one).length < hashes.length, 'most were taken back');
  });

  it('comes as well beside a control topic in one packet, and to a session that is kept', async (t) => {
    const [port, [hash]] = await brokerWith(t, 1);
    assert.ok(hash);
    const topic = chunkTopic(hash);
    const both = ['fleet/updates', topic].map((one) => ({ topic: one, qos: 1 as const }));
    for (const clean of [true, false]) {
      const one = await robot(t, port, `mixed-${clean}`, clean);
      one.send({ cmd: 'subscribe', messageId: 9, subscriptions: both });
      await waitUntil('the chunk', () => chunksOf(one).length === 1);
      assert.deepEqual(suback(one).granted, [1, 0]);
      assert.equal(chunksOf(one)[0]?.qos, 0);
      one.send({ cmd: 'unsubscribe', messageId: 10, unsubscriptions: [topic] });
      await waitUntil('UNSUBACK', () => one.packets.some(({ cmd }) => cmd === 'unsuback'));
      subscribe(one, [hash], 1);
      await waitUntil('the chunk once more', () => chunksOf(one).length === 2);
    }
  });

  it('is refused beyond the filters of one connection, and there is room again for each given up', async (t) => {
    const [port] = await brokerWith(t, 0);
    const one = await robot(t, port, 'greedy');
    const absent = Array.from({ length: LIMITS.subscriptionsPerClientMax }, (_, at) =>
      sha256Hex(Buffer.from([at >> 8, at])),
    );
    const [more] = absent.splice(0, 1);
    assert.ok(more);
    const ask = async (hashes: readonly Sha256Hex[]): Promise<readonly unknown[]> => {
      one.packets.length = 0;
      subscribe(one, hashes, 1);
      await waitUntil('SUBACK', () => one.packets.length > 0);
      return suback(one).granted;
    };
    const allGood = (granted: readonly unknown[]): boolean => granted.every((code) => code === 0);
    assert.ok(allGood(await ask([...absent, more])));
    const last = sha256Hex(Buffer.from('one more'));
    assert.deepEqual(await ask([last]), [128]);
    assert.deepEqual(await ask([more]), [0], 'what it has already is no more');
    one.send({ cmd: 'unsubscribe', messageId: 8, unsubscriptions: [chunkTopic(more)] });
    await waitUntil('UNSUBACK', () => one.packets.some(({ cmd }) => cmd === 'unsuback'));
    assert.deepEqual(await ask([last]), [0]);
  });

  it('requested without end by a client that reads no answer makes the broker stop reading', async (t) => {
    const [port, [hash]] = await brokerWith(t, 1);
    assert.ok(hash);
    const one = await robot(t, port, 'deaf');
    one.socket.on('error', () => undefined); // the broker ends with much of it unread
    one.socket.pause();
    const subscriptions = [{ topic: chunkTopic(hash), qos: 0 as const }];
    const question = generate({ cmd: 'subscribe', messageId: 7, subscriptions });
    const questions = Buffer.concat(Array.from({ length: 12_000 }, () => question));
    for (let sent = 0; sent < 64; sent += 1) one.socket.write(questions);
    const taken = (): number => one.socket.bytesWritten - one.socket.writableLength;
    let before = -1;
    let stillLooks = 0;
    const look = async (): Promise<boolean> => {
      stillLooks = taken() === before ? stillLooks + 1 : 0;
      before = taken();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return stillLooks >= STILL_LOOKS;
    };
    await waitUntil('it to take nothing more', look, { timeoutMs: 60_000 });
    assert.ok(taken() < 12 * 2 ** 20, `${taken()} bytes of questions were taken`);
  });

  it('asked for again and again keeps a connection alive, and silence ends it', async (t) => {
    const [port, [hash]] = await brokerWith(t, 1);
    assert.ok(hash);
    const one = await robot(t, port, 'alive', true, 1);
    let isOpen = true;
    one.socket.on('close', () => (isOpen = false));
    for (let asked = 0; asked < 12; asked += 1) {
      subscribe(one, [hash], 0);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    assert.ok(isOpen, 'twice as long as a keep-alive of one second allows silence');
    await waitUntil('its end', () => !isOpen);
  });
});
