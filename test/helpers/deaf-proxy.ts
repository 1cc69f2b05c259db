/**
 * An MQTT link over which a server says less than it should: from `deafen` on, the connections
 * that are open then bring no PUBLISH to their clients any more, while everything else (PINGRESP,
 * PUBACK, SUBACK) goes its way. Connections made later are good. With `withhold`, all connections
 * lack some messages, as on a server that does not deliver them.
 */

import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { generate, parser, type IPublishPacket } from 'mqtt-packet';
import type { Scope } from './scope.ts';

export interface DeafProxy {
  readonly port: number;
  /** Messages that were held back so far. */
  readonly withheld: number;
  /** Messages that were retained and went through so far. */
  readonly handedOut: number;
  /** @returns how many connections are deaf now */
  deafen(): number;
  /**
   * From now on, on each connection; null for none. A message that is sent because it is retained
   * has `retain` set; one that is delivered live has not.
   */
  withhold(which: ((packet: IPublishPacket) => boolean) | null): void;
}

/** @param target port on the loopback that links lead to */
export async function startDeafProxy(scope: Scope, target: number): Promise<DeafProxy> {
  const open = new Set<Socket>();
  const deaf = new WeakSet<Socket>();
  let withheld = 0;
  let handedOut = 0;
  let isWithheld: ((packet: IPublishPacket) => boolean) | null = null;
  const listener = createServer((client) => {
    const server = connect(target, '127.0.0.1');
    const reader = parser();
    open.add(client);
    reader.on('packet', (packet) => {
      if (packet.cmd === 'publish' && (deaf.has(client) || isWithheld?.(packet))) withheld += 1;
      else {
        if (packet.cmd === 'publish' && packet.retain) handedOut += 1;
        client.write(generate(packet));
      }
    });
    client.on('data', (bytes) => server.write(bytes));
    server.on('data', (bytes) => reader.parse(bytes));
    const end = (): void => {
      open.delete(client);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.on('error', () => {}); // 'close' follows and ends the pair
      socket.on('close', end);
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  scope.after(() => {
    for (const client of open) client.destroy();
    listener.close();
  });
  return {
    port: (listener.address() as AddressInfo).port,
    get withheld() {
      return withheld;
    },
    get handedOut() {
      return handedOut;
    },
    deafen: () => {
      for (const client of open) deaf.add(client);
      return open.size;
    },
    withhold: (which) => void (isWithheld = which),
  };
}
