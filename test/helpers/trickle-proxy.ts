/** A TCP link over which bytes come down one by one, or not at all, until a test makes it good. */

import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Scope } from './scope.ts';

export interface TrickleProxy {
  readonly port: number;
  /** Bytes that came down while it was bad. */
  readonly trickled: number;
  /** From now on it is as fast as any; what waited comes at once. */
  mend(): void;
}

/** @param everyMs one byte of each link comes down in this time */
export async function startTrickleProxy(
  scope: Scope,
  target: number,
  everyMs: number,
): Promise<TrickleProxy> {
  const sockets = new Set<Socket>();
  const waiting = new Map<Socket, Buffer[]>();
  let trickled = 0;
  let isBad = true;
  const flush = (client: Socket): void => {
    for (const bytes of waiting.get(client)?.splice(0) ?? []) client.write(bytes);
  };
  const timer = setInterval(() => {
    for (const [client, pieces] of waiting) {
      const [first] = pieces;
      if (!isBad || !first) continue;
      client.write(first.subarray(0, 1));
      trickled += 1;
      if (first.byteLength > 1) pieces[0] = first.subarray(1);
      else pieces.shift();
    }
  }, everyMs);
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    const pair = [client, upstream];
    waiting.set(client, []);
    for (const socket of pair) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {}); // 'close' follows and ends the pair
      socket.on('close', () => {
        waiting.delete(client);
        for (const one of pair) one.destroy();
        sockets.delete(socket);
      });
    }
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => {
      if (isBad) waiting.get(client)?.push(bytes);
      else client.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.after(() => {
    clearInterval(timer);
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    get trickled() {
      return trickled;
    },
    mend: () => {
      isBad = false;
      for (const client of waiting.keys()) flush(client);
    },
  };
}
