/**
 * Where connections come in: TCP and WebSocket, one bound on their number, and a guard on each that
 * closes it at the header of a packet that is too large, before and after CONNECT. Aedes itself has
 * no bound before CONNECT.
 */

import { createServer as createHttpServer } from 'node:http';
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { DroverError } from '../../shared/errors.ts';
import { LIMITS } from '../../shared/limits.ts';
import { PacketGuard } from '../../shared/packet-guard.ts';
import type { Log } from '../../shared/ports.ts';

const PACKET_BYTES_MAX = LIMITS.chunkBytesMax + LIMITS.packetOverheadBytesMax;

export interface ListenerOptions {
  readonly host: string;
  readonly connectionsMax: number;
  readonly log: Log;
  /** Hands a guarded connection to the engine. */
  handle(connection: Duplex): void;
  /** True once the peer of this connection is known. */
  isConnected(connection: Duplex): boolean;
}

/** A port that is taken, forbidden or none is the operator's to change, not a bug. */
export function listenFailure(host: string, port: number, cause: unknown): DroverError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DroverError('LISTEN_FAILED', `listen on ${host} port ${port}: ${why}`, { cause });
}

export class Listeners {
  readonly #options: ListenerOptions;
  readonly #servers: Server[] = [];
  readonly #open = new Set<Duplex>();

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#open.size;
  }

  /** @returns the real port, for a wish of 0 */
  async listenTcp(port: number): Promise<number> {
    const server = createTcpServer({ noDelay: true }, (socket) => this.#accept(socket, socket));
    return await this.#listen(server, port);
  }

  async listenWebSocket(port: number): Promise<number> {
    const server = createHttpServer((_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain' }).end('MQTT over WebSocket only\n');
    });
    const sockets = new WebSocketServer({
      server,
      maxPayload: PACKET_BYTES_MAX,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : false),
    });
    sockets.on('connection', (socket, request) => {
      request.socket.setNoDelay(true);
      this.#accept(createWebSocketStream(socket), request.socket);
    });
    return await this.#listen(server, port);
  }

  async close(): Promise<void> {
    for (const connection of this.#open) connection.destroy();
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  async #listen(server: Server, port: number): Promise<number> {
    this.#servers.push(server);
    const { host } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, resolve);
      });
    } catch (cause) {
      throw listenFailure(host, port, cause);
    }
    return (server.address() as AddressInfo).port;
  }

  #accept(connection: Duplex, socket: Socket): void {
    const { connectionsMax, log } = this.#options;
    connection.on('error', (error) => log.debug({ error: error.message }, 'connection error'));
    if (this.#open.size >= connectionsMax) {
      log.warn({ connectionsMax, from: socket.remoteAddress }, 'connection refused: too many');
      connection.destroy();
      return;
    }
    this.#open.add(connection);
    connection.once('close', () => this.#open.delete(connection));
    this.#guard(connection, socket.remoteAddress ?? 'unknown');
    this.#options.handle(connection);
  }

  /** Aedes reads with `read()`: seeing the bytes there is seeing them before its parser. */
  #guard(connection: Duplex, from: string): void {
    const guard = new PacketGuard(() =>
      this.#options.isConnected(connection) ? PACKET_BYTES_MAX : LIMITS.connectPacketBytesMax,
    );
    const read = connection.read.bind(connection);
    connection.read = (size?: number): unknown => {
      const bytes: unknown = read(size);
      if (!(bytes instanceof Uint8Array)) return bytes;
      const verdict = guard.feed(bytes);
      if (verdict.kind === 'ok') return bytes;
      this.#options.log.warn({ from, ...verdict }, 'connection closed by the packet guard');
      connection.destroy();
      return null;
    };
  }
}
