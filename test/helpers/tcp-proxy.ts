/**
 * A TCP link that fails on demand, between a robot and its broker: it can be cut after a number of
 * bytes, stalled, or slowed down. Bytes are counted from the server to the client, since that is
 * the way payloads take.
 */

import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Scope } from './scope.ts';

export interface TcpProxy {
  readonly port: number;
  /** Bytes that went from the server to any client so far. */
  readonly bytesDown: number;
  readonly connectionsOpen: number;
  /** Hears all bytes as they pass, from the client (`up`) and from the server. */
  tap: ((way: 'up' | 'down', bytes: Uint8Array) => void) | null;
  /** Breaks every link at once; new ones are taken. */
  cut(): void;
  /** Breaks every link when so many more bytes have gone down; null calls it off. */
  cutAfter(bytes: number | null): void;
  /** Refuses (true) or takes (false) new links; open ones stay. */
  refuse(on: boolean): void;
  /** Nothing moves in either direction, and no side gets an error. */
  stall(on: boolean): void;
  /** Bytes a second downwards, over all links; null for as fast as it goes. */
  throttle(bytesPerSecond: number | null): void;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
}

class Proxy implements TcpProxy {
  readonly #links = new Set<Link>();
  readonly #listener: Server;
  readonly #target: number;
  tap: TcpProxy['tap'] = null;
  #bytesDown = 0;
  #cutAtByte: number | null = null;
  #isRefusing = false;
  #isStalled = false;
  #bytesPerMs: number | null = null;
  #freeAtMs = 0;

  constructor(target: number) {
    this.#target = target;
    this.#listener = createServer((client) => this.#accept(client));
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#listener.listen(0, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#listener.close(() => resolve()));
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  get bytesDown(): number {
    return this.#bytesDown;
  }

  get connectionsOpen(): number {
    return this.#links.size;
  }

  cut(): void {
    for (const { client, server } of [...this.#links]) {
      client.destroy();
      server.destroy();
    }
  }

  cutAfter(bytes: number | null): void {
    this.#cutAtByte = bytes === null ? null : this.#bytesDown + bytes;
  }

  refuse(on: boolean): void {
    this.#isRefusing = on;
  }

  stall(on: boolean): void {
    this.#isStalled = on;
    for (const { client, server } of this.#links) {
      for (const socket of [client, server]) {
        if (on) socket.pause();
        else socket.resume();
      }
    }
  }

  throttle(bytesPerSecond: number | null): void {
    this.#bytesPerMs = bytesPerSecond === null ? null : bytesPerSecond / 1000;
  }

  #accept(client: Socket): void {
    if (this.#isRefusing) {
      client.destroy();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    const link = { client, server };
    this.#links.add(link);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', () => {}); // 'close' follows and ends the pair
      socket.on('close', () => this.#drop(link));
      if (this.#isStalled) socket.pause();
    }
    client.on('data', (bytes) => {
      this.tap?.('up', bytes);
      server.write(bytes);
    });
    server.on('data', (bytes) => this.#down(link, bytes));
  }

  #drop(link: Link): void {
    this.#links.delete(link);
    link.client.destroy();
    link.server.destroy();
  }

  #down({ client, server }: Link, bytes: Buffer): void {
    const left = this.#cutAtByte === null ? Infinity : this.#cutAtByte - this.#bytesDown;
    const taken = bytes.subarray(0, Math.min(bytes.byteLength, left));
    this.#bytesDown += taken.byteLength;
    this.tap?.('down', taken);
    if (taken.byteLength >= left) {
      this.#cutAtByte = null;
      // The bytes before the cut arrive; a real link leaves half a packet behind, too.
      client.write(taken, () => this.cut());
      return;
    }
    const isFull = !client.write(taken);
    const waitMs = this.#payForMs(taken.byteLength);
    if (!isFull && waitMs === 0) return;
    server.pause();
    const goOn = (): void => {
      if (!this.#isStalled) server.resume();
    };
    if (waitMs > 0) setTimeout(goOn, waitMs);
    else client.once('drain', goOn);
  }

  #payForMs(bytes: number): number {
    if (this.#bytesPerMs === null) return 0;
    const now = performance.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, now) + bytes / this.#bytesPerMs;
    return this.#freeAtMs - now;
  }
}

/** @param target port on the loopback that links lead to */
export async function startTcpProxy(scope: Scope, target: number): Promise<TcpProxy> {
  const proxy = new Proxy(target);
  await proxy.open();
  scope.after(() => proxy.close());
  return proxy;
}
