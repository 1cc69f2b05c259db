/**
 * The broker serves clients that use MQTT in ways our own programs do not: sessions that outlive a
 * connection, many messages on the way at once, client ids of others.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser } from './credentials.ts';

const RETAINED = { retain: true, qos: 1 } as const;
const REFUSED = 0x80;

interface Peer {
  readonly client: MqttClient;
  /** Topic and text of each message, in the order of their coming. */
  readonly messages: { topic: string; text: string }[];
  subscribe(filters: readonly string[]): Promise<number[]>;
  leave(): Promise<void>;
}

async function meet(t: TestContext, url: string, options: IClientOptions): Promise<Peer> {
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  t.after(() => client.endAsync(true));
  const messages: Peer['messages'] = [];
  client.on('message', (topic, payload) => messages.push({ topic, text: payload.toString() }));
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve());
    client.once('error', reject);
  });
  client.on('error', () => undefined); // what comes after is seen by its effect
  const subscribe = (filters: readonly string[]): Promise<number[]> =>
    new Promise((resolve) => {
      client.once('packetreceive', (packet) => {
        if (packet.cmd === 'suback') resolve(packet.granted as number[]);
      });
      // The library makes an error of 0x80, which is what some of these tests ask for.
      client.subscribe([...filters], { qos: 1 }, () => undefined);
    });
  return { client, messages, subscribe, leave: () => client.endAsync() };
}

describe('messages that are on their way at the same time', () => {
  it('come in the order of their topic, and the last one is what is retained', async (t) => {
    const broker = await startBrokerChild(t);
    const watcher = await meet(t, broker.url, { clientId: 'watcher' });
    await watcher.subscribe(['fleet/robots/+/state']);
    const absent = await meet(t, broker.url, { clientId: 'absent', clean: false });
    await absent.subscribe(['fleet/robots/+/state']);
    await absent.leave();
    const robot = await meet(t, broker.url, { clientId: 'robot' });
    const texts = Array.from({ length: 300 }, (_, at) => String(at));
    const sent = texts.map((text) =>
      robot.client.publishAsync('fleet/robots/r1/state', text, RETAINED),
    );
    await Promise.all(sent);
    await waitUntil('all of them', () => watcher.messages.length >= texts.length, {
      look: () => `${watcher.messages.length} of ${texts.length}`,
    });
    assert.deepEqual(
      watcher.messages.map(({ text }) => text),
      texts,
    );
    const late = await meet(t, broker.url, { clientId: 'late' });
    await late.subscribe(['fleet/robots/r1/state']);
    await waitUntil('the retained one', () => late.messages.length > 0);
    assert.equal(late.messages[0]?.text, '299');
  });
});

describe('a session that outlives its connection', () => {
  it('gets a chunk that comes later, and stays connected', async (t) => {
    const broker = await startBrokerChild(t);
    const reader = await meet(t, broker.url, { clientId: 'reader', clean: false });
    const chunk = randomBytes(5_000);
    const topic = chunkTopic(sha256Hex(chunk));
    await reader.subscribe([topic]);
    const publisher = await meet(t, broker.url, { clientId: 'publisher' });
    await publisher.client.publishAsync(topic, chunk, RETAINED);
    await waitUntil('the chunk', () => reader.messages.some((one) => one.topic === topic));
    assert.ok(reader.client.connected);
    assert.deepEqual(await reader.subscribe(['fleet/updates']), [1]);
  });

  it('keeps nothing that its owner may not read, not even what was asked for', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const spy = await addUser(file, 'r2', 'robot');
    const robot = await addUser(file, 'r1', 'robot');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const session = { clientId: 'spy', clean: false, ...spy };
    const first = await meet(t, broker.url, session);
    const wishes = ['fleet/updates', 'fleet/robots/+/events', 'fleet/robots/r2/want'];
    assert.deepEqual(await first.subscribe(wishes), [1, REFUSED, 1]);
    await first.leave();
    const r1 = await meet(t, broker.url, { clientId: 'r1', ...robot });
    await r1.client.publishAsync('fleet/robots/r1/events', 'private', { qos: 1 });
    const r2 = await meet(t, broker.url, { clientId: 'r2', ...spy });
    await r2.client.publishAsync('fleet/robots/r2/want', 'own', { qos: 1 });
    const again = await meet(t, broker.url, session);
    await waitUntil('its own message', () => again.messages.length > 0);
    assert.deepEqual(
      again.messages.map(({ text }) => text),
      ['own'],
    );
  });

  it('does not send messages kept for one user to another who takes its client id', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const technician = await addUser(file, 'op', 'technician');
    const r1 = await addUser(file, 'r1', 'robot');
    const r2 = await addUser(file, 'r2', 'robot');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const session = { clientId: 'auditor', clean: false };
    const owner = await meet(t, broker.url, { ...session, ...technician });
    await owner.subscribe(['fleet/robots/+/events', 'fleet/robots/+/want']);
    await owner.leave();
    const robot = await meet(t, broker.url, { clientId: 'r1', ...r1 });
    await robot.client.publishAsync('fleet/robots/r1/events', 'private', { qos: 1 });
    await robot.client.publishAsync('fleet/robots/r1/want', 'private', { qos: 1 });
    const thief = meet(t, broker.url, { ...session, ...r2 });
    await assert.rejects(thief, /Identifier rejected/);
    const back = await meet(t, broker.url, { ...session, ...technician });
    await waitUntil('what it missed', () => back.messages.length >= 2);
    assert.ok(back.messages.every(({ text }) => text === 'private'));
  });

  it('is kept what it missed with the highest QoS of its filters, in whatever order they came', async (t) => {
    const broker = await startBrokerChild(t);
    const [wide, narrow] = ['fleet/robots/+/events', 'fleet/robots/r1/events'];
    const orders = [[wide, 1] as const, [narrow, 0] as const];
    const robot = await meet(t, broker.url, { clientId: 'robot' });
    for (const [at, filters] of [orders, orders.toReversed()].entries()) {
      const session = { clientId: `relay-${at}`, clean: false };
      const first = await meet(t, broker.url, session);
      for (const [filter, qos] of filters) await first.client.subscribeAsync(filter, { qos });
      await first.leave();
      await robot.client.publishAsync('fleet/robots/r1/events', `missed ${at}`, { qos: 1 });
      const again = await meet(t, broker.url, session);
      await waitUntil('what it missed', () =>
        again.messages.some(({ text }) => text === `missed ${at}`),
      );
    }
  });

  it('leaves nothing behind when its client begins again', async (t) => {
    const broker = await startBrokerChild(t);
    const session = { clientId: 'auditor', clean: false };
    const events = 'fleet/robots/+/events';
    const first = await meet(t, broker.url, session);
    await first.subscribe([events]);
    await first.leave();
    const robot = await meet(t, broker.url, { clientId: 'robot' });
    const send = async (text: string): Promise<void> => {
      await robot.client.publishAsync('fleet/robots/r1/events', text, { qos: 1 });
    };
    await send('old');
    const anew = await meet(t, broker.url, { ...session, clean: true });
    await anew.leave();
    const again = await meet(t, broker.url, session);
    await again.subscribe([events]);
    await send('new');
    await waitUntil('the new message', () => again.messages.length > 0);
    assert.deepEqual(
      again.messages.map(({ text }) => text),
      ['new'],
    );
  });

  it('is bounded in its subscriptions, also when all come in one packet', async (t) => {
    const broker = await startBrokerChild(t);
    const count = LIMITS.subscriptionsPerClientMax + 10;
    const filters = Array.from({ length: count }, (_, at) => `fleet/rollouts/x-${at}`);
    for (const clean of [true, false]) {
      const greedy = await meet(t, broker.url, { clientId: 'greedy', clean });
      const granted = await greedy.subscribe(filters);
      assert.equal(granted.filter((one) => one !== REFUSED).length, count - 10);
      assert.deepEqual(await greedy.subscribe(['fleet/rollouts/x-0']), [1], 'it has that one');
      await greedy.leave();
    }
  });
});

describe('a client id', () => {
  it('that another user is connected with cannot be taken over', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const r1 = await addUser(file, 'r1', 'robot');
    const r2 = await addUser(file, 'r2', 'robot');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const held = await meet(t, broker.url, { clientId: 'mine', ...r1 });
    await assert.rejects(meet(t, broker.url, { clientId: 'mine', ...r2 }), /[Ii]dentifier/);
    await held.client.publishAsync('fleet/robots/r1/state', '{}', RETAINED);
    const again = await meet(t, broker.url, { clientId: 'mine', ...r1 });
    await waitUntil('the older connection to end', () => !held.client.connected);
    await again.client.publishAsync('fleet/robots/r1/state', '{}', RETAINED);
  });

  it("of the form robot-<id> is that robot's alone", async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    await addUser(file, 'r1', 'robot');
    const r2 = await addUser(file, 'r2', 'robot');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    await assert.rejects(meet(t, broker.url, { clientId: 'robot-r1', ...r2 }), /[Ii]dentifier/);
    await meet(t, broker.url, { clientId: 'robot-r2', ...r2 });
  });
});
