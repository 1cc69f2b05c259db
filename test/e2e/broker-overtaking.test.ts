/**
 * "PUBACK means delivered or kept", also while messages overtake each other: one has to be written
 * for a session that is away, the next goes straight on.
 */

import assert from 'node:assert/strict';
import type { MqttClient } from 'mqtt';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { connectClient } from './mqtt-client.ts';

const COUNT = 200;

/** Texts of what came at QoS 1, in the order of coming. */
function listen(client: MqttClient): string[] {
  const texts: string[] = [];
  client.on('message', (_topic, payload) => {
    if (payload.toString() !== 'x') texts.push(payload.toString());
  });
  return texts;
}

/** Two streams at QoS 1, one of them kept for an absent session, while QoS 0 overtakes both. */
async function flood(robot: MqttClient): Promise<void> {
  let isSent = false;
  const sent = Array.from({ length: COUNT }, (_, at) => [
    robot.publishAsync('fleet/robots/r1/events', `e${at}`, { qos: 1 }),
    robot.publishAsync('fleet/robots/r1/want', `w${at}`, { qos: 1 }),
  ]);
  const all = Promise.all(sent.flat()).then(() => (isSent = true));
  while (!isSent) {
    await robot.publishAsync('fleet/robots/r1/online', 'x', { qos: 0 });
    await nextTurn();
  }
  await all;
}

describe('an acknowledged message', () => {
  for (const [kind, clean] of Object.entries({ clean: true, persistent: false })) {
    it(`reaches a ${kind} session, whatever is kept for others meanwhile`, async (t) => {
      const broker = await startBrokerChild(t);
      const absent = await connectClient(t, broker.url, { clientId: 'absent', clean: false });
      await absent.subscribeAsync('fleet/robots/+/events', { qos: 1 });
      await absent.endAsync();
      const watcher = await connectClient(t, broker.url, { clientId: 'watcher', clean });
      const texts = listen(watcher);
      await watcher.subscribeAsync(['fleet/#', 'fleet/robots/+/want'], { qos: 1 });
      await flood(await connectClient(t, broker.url, { clientId: 'robot' }));
      await waitUntil('every message', () => new Set(texts).size === 2 * COUNT, {
        look: () => `${new Set(texts).size} of ${2 * COUNT}`,
      });
      assert.equal(texts.length, 2 * COUNT, 'once each, though two of its filters fit');
    });
  }
});
