/** Sessions that outlive their connections get QoS 2 as MQTT 3.1.1 says; Aedes alone does not. */

import assert from 'node:assert/strict';
import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt';
import { describe, it, type TestContext } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { connectClient } from './mqtt-client.ts';

const TOPIC = 'fleet/robots/r1/events';
const FILTER = 'fleet/robots/+/events';
const AWAY = { clientId: 'away', clean: false } as const;
const COUNT = 60;

interface Peer {
  readonly client: MqttClient;
  readonly packets: IPublishPacket[];
  readonly ends: { count: number };
}

async function meet(t: TestContext, url: string, options: IClientOptions): Promise<Peer> {
  const packets: IPublishPacket[] = [];
  const client = await connectClient(t, url, options, (packet) => packets.push(packet));
  const ends = { count: 0 };
  client.on('close', () => (ends.count += 1));
  client.on('error', () => undefined); // what comes of it is seen by its effect
  return { client, packets, ends };
}

const textsOf = ({ packets }: Peer): string[] => packets.map(({ payload }) => String(payload));

async function publish(peer: Peer, from: number, qos: 1 | 2): Promise<void> {
  for (let nth = from; nth < from + COUNT; nth += 1) {
    await peer.client.publishAsync(TOPIC, String(nth), { qos });
  }
}

const queuedOf = async (broker: BrokerChild): Promise<unknown> => {
  const answer = await fetch(`${broker.httpUrl}/sessions`);
  const { sessions } = (await answer.json()) as {
    sessions: { client_id: string }[];
  };
  return sessions.filter(({ client_id: id }) => id === 'away');
};

const texts = (count: number): string[] => Array.from({ length: count }, (_, nth) => String(nth));

describe('a session of QoS 2', () => {
  for (const granted of [1, 2] as const) {
    it(`gets its queue and what follows, once each and in order, with the QoS ${granted} it was granted`, async (t) => {
      const broker = await startBrokerChild(t);
      const before = await meet(t, broker.url, AWAY);
      await before.client.subscribeAsync(FILTER, { qos: granted });
      await before.client.endAsync();
      const robot = await meet(t, broker.url, { clientId: 'robot-r1' });
      await publish(robot, 0, 2);
      const after = await meet(t, broker.url, AWAY);
      await publish(robot, COUNT, 2);
      await waitUntil('all of them', () => after.packets.length >= 2 * COUNT, {
        look: () => `${after.packets.length} packets, ${after.ends.count} ends`,
      });
      assert.deepEqual(textsOf(after), texts(2 * COUNT));
      assert.deepEqual(
        after.packets.map(({ qos, payload }) => `${qos} ${payload}`),
        texts(2 * COUNT).map((one) => `${granted} ${one}`),
      );
      assert.equal(after.ends.count, 0);
      await waitUntil('an empty queue', async () => {
        const [left] = (await queuedOf(broker)) as { queued: number; queued_bytes: number }[];
        return left?.queued === 0 && left.queued_bytes === 0;
      });
    });
  }

  it('learns which messages it may have had on an earlier connection', async (t) => {
    const broker = await startBrokerChild(t);
    const first = await meet(t, broker.url, AWAY);
    await first.client.subscribeAsync(FILTER, { qos: 1 });
    first.client.handleMessage = () => undefined; // never acknowledged
    const robot = await meet(t, broker.url, { clientId: 'robot-r1' });
    await robot.client.publishAsync(TOPIC, 'sent before', { qos: 1 });
    await waitUntil('the first sending', () => first.packets.length === 1);
    assert.equal(first.packets[0]?.dup, false);
    await first.client.endAsync(true);
    await robot.client.publishAsync(TOPIC, 'new', { qos: 1 });
    const second = await meet(t, broker.url, AWAY);
    await waitUntil('both', () => second.packets.length === 2);
    assert.deepEqual(
      second.packets.map(({ payload, dup }) => [String(payload), dup]),
      [
        ['sent before', true],
        ['new', false],
      ],
    );
  });
});
