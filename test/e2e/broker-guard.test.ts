/** Hostile bytes beyond those of broker-doors, and their cost in memory and time for the broker. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { generate, parser, type Packet } from 'mqtt-packet';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';

const MiB = 2 ** 20;
const QUEUED = 200;
const EVENT_AT = '2026-06-01T00:00:00.000Z';
const CONNECT = generate({
  cmd: 'connect',
  clientId: 'raw',
  clean: true,
  keepalive: 0,
  protocolId: 'MQTT',
  protocolVersion: 4,
});

interface Raw {
  readonly socket: Socket;
  readonly answers: Buffer[];
  /** Resolves when the connection is closed. */
  closed(): Promise<void>;
}

function dial(t: TestContext, broker: BrokerChild): Raw {
  const socket = connect(broker.port, '127.0.0.1');
  const answers: Buffer[] = [];
  socket.on('data', (bytes) => answers.push(bytes));
  socket.on('error', () => undefined); // a reset is what these tests provoke
  let isClosed = false;
  socket.once('close', () => (isClosed = true));
  t.after(() => void socket.destroy());
  const closed = async (): Promise<void> => {
    await waitUntil('the broker to close a connection', () => isClosed);
  };
  return { socket, answers, closed };
}

/** Connected and answered: what follows comes from somebody known. */
async function enter(t: TestContext, broker: BrokerChild): Promise<Raw> {
  const raw = dial(t, broker);
  raw.socket.write(CONNECT);
  await waitUntil('CONNACK', () => raw.answers.length > 0);
  return raw;
}

async function assertServes(t: TestContext, broker: BrokerChild): Promise<void> {
  assert.equal(broker.child.ended, null, broker.child.describe());
  const raw = await enter(t, broker);
  raw.socket.destroy();
}

async function residentBytes(broker: BrokerChild): Promise<number> {
  const status = await readFile(`/proc/${broker.child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

describe('bytes that are meant to hurt', () => {
  it('announced by the hundred MiB are never collected', async (t) => {
    const broker = await startBrokerChild(t);
    await assertServes(t, broker);
    const before = await residentBytes(broker);
    const header = Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]); // PUBLISH of 256 MiB
    for (let at = 0; at < 10; at += 1) {
      const raw = await enter(t, broker);
      raw.socket.write(header);
      // A broker that collects would take all of it; ours is gone after the header.
      for (let sent = 0; sent < 40 && !raw.socket.destroyed; sent += 1) {
        raw.socket.write(Buffer.alloc(MiB));
      }
      await raw.closed();
    }
    const grown = (await residentBytes(broker)) - before;
    assert.ok(grown < 100 * MiB, `grew by ${Math.round(grown / MiB)} MiB of 400 that were sent`);
    await assertServes(t, broker);
  });

  it('in a remaining length of five bytes close the connection', async (t) => {
    const broker = await startBrokerChild(t);
    const fresh = dial(t, broker);
    fresh.socket.write(Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x01]));
    await fresh.closed();
    assert.deepEqual(fresh.answers, []);
    const known = await enter(t, broker);
    known.socket.write(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]));
    await known.closed();
    await assertServes(t, broker);
  });

  it('of any kind after CONNECT leave the broker alive', async (t) => {
    const broker = await startBrokerChild(t);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        const { socket, closed } = dial(t, broker);
        socket.write(CONNECT);
        socket.end(bytes);
        socket.resume();
        await closed();
      }),
      { numRuns: 150 },
    );
    await assertServes(t, broker);
  });

  it('that are true packets out of turn, or with fields of another kind, do as well', async (t) => {
    const broker = await startBrokerChild(t);
    const anyTopic = fc.constantFrom(
      ...['fleet/updates', 'fleet/robots/r1/state', '#', '+', '', '$SYS/x', '$drover/ingested'],
      ...['fleet/#', '/', '//', 'a/'.repeat(120), '__proto__', 'constructor', 'fleet-chunks/x'],
    );
    const messageId = fc.integer({ min: 1, max: 65_535 });
    const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);
    const payload = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
    const anyPacket: fc.Arbitrary<Packet> = fc.oneof(
      fc.record({
        cmd: fc.constant('publish' as const),
        topic: anyTopic.filter((topic) => topic !== ''),
        ...{ messageId, qos, payload, retain: fc.boolean(), dup: fc.boolean() },
      }),
      fc.record({
        cmd: fc.constant('subscribe' as const),
        messageId,
        subscriptions: fc.array(fc.record({ topic: anyTopic, qos }), {
          minLength: 1,
          maxLength: 4,
        }),
      }),
      fc.record({
        cmd: fc.constant('unsubscribe' as const),
        messageId,
        unsubscriptions: fc.array(anyTopic, { minLength: 1, maxLength: 3 }),
      }),
      fc.record({
        cmd: fc.constantFrom('puback' as const, 'pubrec' as const, 'pubrel' as const),
        messageId,
      }),
      fc.constant({ cmd: 'pingreq' as const }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anyPacket, { maxLength: 8 }), async (packets) => {
        const { socket, closed } = dial(t, broker);
        socket.resume();
        socket.write(CONNECT);
        for (const packet of packets) socket.write(generate(packet));
        socket.end(CONNECT); // a second one, which is an error of the protocol
        await closed();
      }),
      { numRuns: 60 },
    );
    await assertServes(t, broker);
  });

  it('come one by one without holding up anybody else', async (t) => {
    const broker = await startBrokerChild(t, { args: ['--max-connections', '3'] });
    const slow = [dial(t, broker), dial(t, broker)];
    for (const { socket } of slow) socket.write(CONNECT.subarray(0, 1));
    await assertServes(t, broker);
    for (const { socket } of slow) socket.write(CONNECT.subarray(1));
    await waitUntil('an answer to a CONNECT in pieces', () => slow.some((one) => one.answers[0]));
  });
});

/** Leaves a kept session that has reports of a robot in its queue. */
async function leaveQueue(t: TestContext, broker: BrokerChild, session: Packet): Promise<void> {
  const listener = dial(t, broker);
  listener.socket.write(generate(session));
  const subscriptions = [{ topic: 'fleet/robots/+/events', qos: 1 as const }];
  listener.socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions }));
  await waitUntil('SUBACK', () => Buffer.concat(listener.answers).byteLength >= 4 + 5);
  listener.socket.write(generate({ cmd: 'disconnect' }));
  await listener.closed();
  const robot = await enter(t, broker);
  const topic = 'fleet/robots/r1/events';
  for (let seq = 1; seq <= QUEUED; seq += 1) {
    const event = { robot_id: 'r1', event_seq: seq, event: 'announced', at: EVENT_AT };
    const payload = JSON.stringify(event);
    const more = { qos: 1 as const, retain: false, dup: false, messageId: seq };
    robot.socket.write(generate({ cmd: 'publish', topic, payload, ...more }));
  }
  const acknowledged = (): number => Buffer.concat(robot.answers).byteLength;
  await waitUntil('each PUBACK', () => acknowledged() >= 4 + 4 * QUEUED);
}

describe('a large packet right after CONNACK', () => {
  it('is taken from a session that is still being handed what was queued for it', async (t) => {
    const broker = await startBrokerChild(t);
    const protocol = { protocolId: 'MQTT', protocolVersion: 4, keepalive: 0 } as const;
    const session = { cmd: 'connect', clientId: 'kept', clean: false, ...protocol } as const;
    await leaveQueue(t, broker, session);
    const chunk = randomBytes(LIMITS.chunkBytesMax);
    const topic = chunkTopic(sha256Hex(chunk));
    const more = { qos: 1 as const, retain: true, dup: false, messageId: 7 };
    const publish = generate({ cmd: 'publish', topic, payload: chunk, ...more });
    const raw = dial(t, broker);
    const packets: Packet[] = [];
    const reader = parser();
    reader.on('packet', (packet) => packets.push(packet));
    raw.socket.on('data', (bytes) => reader.parse(bytes));
    raw.socket.once('data', () => raw.socket.write(publish));
    raw.socket.write(generate(session));
    const acknowledged = (): boolean => packets.some(({ cmd }) => cmd === 'puback');
    await waitUntil('PUBACK', () => acknowledged() || raw.socket.destroyed, {
      look: () => broker.child.describe(),
    });
    assert.ok(acknowledged(), broker.child.describe());
  });
});
