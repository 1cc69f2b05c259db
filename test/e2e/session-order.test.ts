/** The order of messages for a session that comes back while more are published (MQTT 3.1.1 §4.6). */

import assert from 'node:assert/strict';
import type { MqttClient } from 'mqtt';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { connectClient } from './mqtt-client.ts';

const TOPIC = 'fleet/robots/r1/events';
const FILTER = 'fleet/robots/+/events';
const AWAY = { clientId: 'away', clean: false } as const;

/** Numbers as they come, from before the first: the queue begins with CONNACK. */
async function comeBack(t: TestContext, url: string): Promise<number[]> {
  const numbers: number[] = [];
  await connectClient(t, url, AWAY, ({ payload }) => numbers.push(Number(String(payload))));
  return numbers;
}

/** A robot that publishes numbers without pause, until it is stopped. */
class Stream {
  #count = 0;
  #isOn = true;
  #running: Promise<void> = Promise.resolve();

  get count(): number {
    return this.#count;
  }

  start(client: MqttClient): void {
    this.#isOn = true;
    this.#running = this.#run(client);
  }

  async reach(count: number): Promise<void> {
    await waitUntil(`${count} messages`, () => this.#count >= count);
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#running;
  }

  async #run(client: MqttClient): Promise<void> {
    while (this.#isOn) {
      const some = Array.from({ length: 5 }, () =>
        client.publishAsync(TOPIC, String(this.#count++), { qos: 1 }),
      );
      await Promise.all(some);
      await sleep(5);
    }
  }
}

test('a session that comes back into a stream gets each message once and in order', async (t) => {
  const first = await startBrokerChild(t);
  const away = await connectClient(t, first.url, AWAY);
  await away.subscribeAsync(FILTER, { qos: 1 });
  await away.endAsync();
  const stream = new Stream();
  stream.start(await connectClient(t, first.url, { clientId: 'robot-r1' }));
  await stream.reach(200);
  await stream.stop();

  // Messages queued by a later run of the broker come after those of an earlier run.
  let broker = first;
  for (const queued of [300, 400]) {
    broker.child.kill('SIGTERM');
    await broker.child.exit;
    broker = await startBrokerChild(t, { data: broker.data });
    stream.start(await connectClient(t, broker.url, { clientId: 'robot-r1' }));
    await stream.reach(queued);
    if (queued < 400) await stream.stop();
  }
  const numbers = await comeBack(t, broker.url);
  await stream.reach(stream.count + 300);
  await stream.stop();
  await waitUntil('all of them', () => new Set(numbers).size === stream.count, {
    look: () => `${new Set(numbers).size} of ${stream.count}`,
  });
  assert.deepEqual(
    numbers,
    Array.from({ length: stream.count }, (_, nth) => nth),
  );
});
