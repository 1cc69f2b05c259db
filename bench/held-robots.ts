/**
 * Many robots of one run of `bench fanout`, in a process of their own: connects as many as the first
 * argument says to the port in the second, each subscribed to announcements at QoS 1, and says so.
 * For each line on stdin it publishes one, and prints the milliseconds until the last has it.
 */

import { createInterface } from 'node:readline';
import { generate } from 'mqtt-packet';
import { dial, LeanParser } from './lean-client.ts';
import { UPDATES_TOPIC } from '../shared/formats/topics.ts';

const CONNACK = 2;
const PUBLISH = 3;
const SUBACK = 9;
const DIALS_AT_ONCE = 100;
const ANNOUNCEMENT_BYTES = 8 * 1024;

async function hold(port: number, at: number, onMessage: () => void): Promise<void> {
  const socket = await dial(port);
  await new Promise<void>((resolve, reject) => {
    const parser = new LeanParser((type, messageId) => {
      const subscriptions = [{ topic: UPDATES_TOPIC, qos: 1 as const }];
      if (type === CONNACK)
        socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions }));
      else if (type === SUBACK) resolve();
      else if (type === PUBLISH) {
        if (messageId > 0) socket.write(generate({ cmd: 'puback', messageId }));
        onMessage();
      }
    });
    socket.on('data', (bytes) => parser.feed(bytes));
    socket.once('close', () => reject(new Error('connection lost')));
    const clientId = `bench-${at}`;
    const protocol = { protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 } as const;
    socket.write(generate({ cmd: 'connect', clientId, ...protocol }));
  });
}

const robots = Number(process.argv[2]);
const port = Number(process.argv[3]);
let left = 0;
let onAll = (): void => undefined;
for (let at = 0; at < robots; at += DIALS_AT_ONCE) {
  const some = Array.from({ length: Math.min(DIALS_AT_ONCE, robots - at) }, (_, i) => at + i);
  await Promise.all(
    some.map((one) =>
      hold(port, one, () => {
        left -= 1;
        if (left === 0) onAll();
      }),
    ),
  );
}
const publisher = await dial(port);
publisher.on('data', () => undefined);
const protocol = { protocolId: 'MQTT', protocolVersion: 4, clean: true } as const;
publisher.write(generate({ cmd: 'connect', clientId: 'bench-publisher', ...protocol }));
console.log('holding');
for await (const line of createInterface({ input: process.stdin })) {
  const startedAt = performance.now();
  left = robots;
  const all = new Promise<void>((resolve) => (onAll = resolve));
  const payload = Buffer.alloc(ANNOUNCEMENT_BYTES, line);
  const message = { cmd: 'publish', topic: UPDATES_TOPIC, payload, dup: false } as const;
  publisher.write(generate({ ...message, qos: 1, messageId: 1, retain: true }));
  await all;
  console.log(`all ${(performance.now() - startedAt).toFixed(1)}`);
}
process.exit(0);
