/**
 * The other end of an MQTT link, answer by answer: for what a well-behaved broker cannot be made to
 * do, such as never acknowledging or announcing a packet that is too large. It answers CONNECT and
 * SUBSCRIBE by itself; everything else is up to the test.
 */

import mqttPacket, { type Packet } from 'mqtt-packet';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { Scope } from './scope.ts';

export interface RawBroker {
  readonly url: string;
  /** Every packet of every client, in order. */
  readonly received: readonly Packet[];
  send(packet: Packet): void;
  sendBytes(bytes: Uint8Array): void;
}

/** @param onPacket after what is answered by itself */
export async function startRawBroker(
  scope: Scope,
  onPacket: (packet: Packet, send: (packet: Packet) => void) => void = () => {},
): Promise<RawBroker> {
  const received: Packet[] = [];
  const sockets = new Set<Socket>();
  const sendBytes = (bytes: Uint8Array): void => sockets.forEach((socket) => socket.write(bytes));
  const send = (packet: Packet): void => sendBytes(mqttPacket.generate(packet));
  const answer = (packet: Packet): void => {
    received.push(packet);
    if (packet.cmd === 'connect') send({ cmd: 'connack', returnCode: 0, sessionPresent: false });
    if (packet.cmd === 'subscribe') {
      const granted = packet.subscriptions.map(({ qos }) => qos);
      send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted });
    }
    onPacket(packet, send);
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    const parser = mqttPacket.parser();
    parser.on('packet', answer);
    socket.on('data', (bytes) => parser.parse(bytes));
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.after(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `mqtt://127.0.0.1:${port}`, received, send, sendBytes };
}
