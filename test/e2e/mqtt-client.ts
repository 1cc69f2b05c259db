/** A client of the library mqtt.js, for what our own programs do not do: kept sessions, QoS 2. */

import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import type { TestContext } from 'node:test';

/**
 * Connects without connecting again later; ended with the test.
 * @param onPacket gets each message, also those that arrive right after CONNACK
 */
export async function connectClient(
  t: TestContext,
  url: string,
  options: IClientOptions,
  onPacket: (packet: IPublishPacket) => void = () => undefined,
): Promise<MqttClient> {
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  t.after(() => client.endAsync(true));
  client.on('message', (_topic, _payload, packet) => onPacket(packet));
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve());
    client.once('error', reject);
  });
  return client;
}
