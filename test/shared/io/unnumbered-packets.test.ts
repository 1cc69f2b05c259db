/** A hostile broker sends packets that end before their number: the wire ends the connection. */

import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { makeLog } from '../../../shared/io/cli.ts';
import { MqttWire } from '../../../shared/io/mqtt-wire.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const PACKETS: Readonly<Record<string, readonly number[]>> = {
  PUBACK: [0x40, 0],
  PUBREC: [0x50, 0],
  PUBREL: [0x62, 0],
  'PUBREL cut in its number': [0x62, 1, 0],
  PUBCOMP: [0x70, 0],
  SUBACK: [0x90, 0],
  UNSUBACK: [0xb0, 0],
  'PUBLISH of QoS 1': [0x32, 3, 0, 1, 0x61],
  'PUBLISH of QoS 2': [0x34, 3, 0, 1, 0x61],
  'number 0': [0x62, 2, 0, 0],
};

test('a packet without its number ends the connection and not the program', async (t) => {
  const heard: string[] = [];
  const tried = Object.entries(PACKETS).map(async ([name, bytes]) => {
    let hasEnded = false;
    const server = createServer((socket) => {
      socket.on('close', () => (hasEnded = true));
      socket.on('error', () => undefined); // the wire ends it
      socket.once('data', () => {
        socket.write(CONNACK);
        socket.write(Buffer.from(bytes));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const handlers = { onMessage: (topic: string) => void heard.push(topic) };
    const wire = new MqttWire({ url, clientId: 'w' }, handlers, makeLog('test', 'silent'));
    t.after(() => wire.close());
    await waitUntil(`the end of the connection after ${name}`, () => hasEnded);
  });
  await Promise.all(tried);
  assert.deepEqual(heard, []);
});
