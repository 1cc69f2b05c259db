/**
 * Accepts connections over TCP and WebSocket. It bounds their number, from the first byte on, and
 * guards each connection: the header of a packet that is too large closes it, before and after
 * CONNECT. Aedes itself has no bound before CONNECT.
 */

import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { PacketGuard } from '../../shared/transfer/packet-guard.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import type { Identity } from '../access/access.ts';
import { ConnectionShares, sharesOf } from '../access/connection-shares.ts';
import type { Certificates } from '../access/certificates.ts';
import { HTTP_TIMES, SocketGate } from '../access/socket-gate.ts';

type UpgradeAnswer = (isTaken: boolean, code?: number, message?: string) => void;

const PACKET_BYTES_MAX = LIMITS.chunkBytesMax + LIMITS.packetOverheadBytesMax;

export interface ListenerOptions {
  readonly host: string;
  readonly connectionsMax: number;
  /** Origins of web pages that may connect over WebSocket, such as `https://tools.example`. */
  readonly wsOrigins: readonly string[];
  /** Null when no listener uses TLS. */
  readonly certificates: Certificates | null;
  readonly log: Log;
}

/** Ports; 0 lets the system choose, null leaves the listener out. */
export interface Doors {
  readonly mqttPort: number | null;
  /** MQTT over TLS; needs certificates. */
  readonly mqttsPort: number | null;
  /** With certificates WebSocket speaks TLS as well. */
  readonly wsPort: number | null;
}

/** The engine that serves accepted connections. */
export interface ConnectionEngine {
  /** Serves a connection that is guarded. */
  handle(connection: Duplex): void;
  /** True once the client of this connection has logged in. */
  isKnown(connection: Duplex): boolean;
}

/** A port that is taken, forbidden or invalid is the operator's to change, not a bug. */
export function listenFailure(host: string, port: number, cause: unknown): DroverError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DroverError('LISTEN_FAILED', `listen on ${host} port ${port}: ${why}`, { cause });
}

export class Listeners {
  readonly #options: ListenerOptions;
  readonly #servers: Server[] = [];
  readonly #open = new Set<Duplex>();
  readonly #certified = new WeakMap<Duplex, Identity | 'refused'>();
  readonly #sockets = new WeakMap<Duplex, Socket>();
  readonly #gate: SocketGate;
  readonly #seldom: SeldomLog;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { connectionsMax, log } = options;
    this.#seldom = new SeldomLog(log, LIMITS.refusalLogMs, () => performance.now());
    this.#gate = new SocketGate(new ConnectionShares(sharesOf(connectionsMax)), log);
  }

  get connections(): number {
    return this.#open.size;
  }

  /**
   * Starts to accept connections.
   * @returns the real ports, where 0 was given
   * @throws DroverError LISTEN_FAILED
   */
  async open({ mqttPort, mqttsPort, wsPort }: Doors, engine: ConnectionEngine): Promise<Doors> {
    const { certificates } = this.#options;
    const hasTls = mqttsPort !== null && certificates !== null;
    return {
      mqttPort: mqttPort === null ? null : await this.#listenTcp(mqttPort, engine),
      mqttsPort: hasTls ? await this.#listenTls(mqttsPort, certificates, engine) : null,
      wsPort: wsPort === null ? null : await this.#listenWebSocket(wsPort, engine),
    };
  }

  async #listenTcp(port: number, engine: ConnectionEngine): Promise<number> {
    const server = createTcpServer({ noDelay: true }, (socket) =>
      this.#accept(engine, socket, socket),
    );
    return await this.#listen(server, port);
  }

  async #listenTls(
    port: number,
    certificates: Certificates,
    engine: ConnectionEngine,
  ): Promise<number> {
    const server = createTlsServer(certificates.serverOptions, (socket) => {
      socket.setNoDelay(true);
      this.#accept(engine, socket, socket);
    });
    server.on('tlsClientError', (error) => this.#noHandshake(error));
    certificates.keepFresh(server);
    return await this.#listen(server, port);
  }

  async #listenWebSocket(port: number, engine: ConnectionEngine): Promise<number> {
    const { certificates } = this.#options;
    const answer = (_request: IncomingMessage, response: ServerResponse): void => {
      response.writeHead(426, { 'content-type': 'text/plain' }).end('MQTT over WebSocket only\n');
    };
    const server = certificates
      ? createHttpsServer({ ...certificates.serverOptions, ...HTTP_TIMES }, answer)
      : createHttpServer(HTTP_TIMES, answer);
    if (certificates && 'setSecureContext' in server) {
      server.on('tlsClientError', (error) => this.#noHandshake(error));
      certificates.keepFresh(server);
    }
    const sockets = new WebSocketServer({
      server,
      maxPayload: PACKET_BYTES_MAX,
      perMessageDeflate: false,
      verifyClient: ({ req }: { req: IncomingMessage }, answerWith: UpgradeAnswer) =>
        this.#judgeOrigin(req, answerWith),
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : false),
    });
    // It repeats errors of the server: without a listener they would end the process.
    sockets.on('error', (error) => this.#options.log.debug({ error: error.message }, 'WebSocket'));
    sockets.on('connection', (socket, request) => {
      request.socket.setNoDelay(true);
      this.#accept(engine, createWebSocketStream(socket), request.socket);
    });
    return await this.#listen(server, port);
  }

  /** Called when the user of a connection is known; false when that user has no connection left. */
  name(connection: Duplex, identity: Identity): boolean {
    const socket = this.#sockets.get(connection);
    return socket === undefined || this.#gate.name(socket, identity);
  }

  /**
   * The identity in the certificate of this connection; null when it showed none. An invalid
   * certificate was meant to prove an identity and does not: the login is refused.
   */
  identityOf(connection: Duplex): Identity | 'refused' | null {
    return this.#certified.get(connection) ?? null;
  }

  async close(): Promise<void> {
    for (const connection of this.#open) connection.destroy();
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  async #listen(server: Server, port: number): Promise<number> {
    this.#servers.push(server);
    this.#gate.guard(server);
    const { host } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        server.on('error', reject); // later ones: see the gate
        server.listen(port, host, resolve);
      });
    } catch (cause) {
      throw listenFailure(host, port, cause);
    }
    return (server.address() as AddressInfo).port;
  }

  #accept(engine: ConnectionEngine, connection: Duplex, socket: Socket): void {
    const { log } = this.#options;
    connection.on('error', (error) => log.debug({ error: error.message }, 'connection error'));
    if (connection.destroyed) return; // refused by the gate
    this.#certify(connection, socket);
    this.#open.add(connection);
    this.#sockets.set(connection, socket);
    connection.once('close', () => this.#open.delete(connection));
    this.#guard(engine, connection, socket.remoteAddress ?? 'unknown');
    engine.handle(connection);
  }

  /**
   * A browser names the page that connects. A page is refused unless it is listed: it would use
   * what only this machine may reach, or the certificate of the person before it.
   */
  #judgeOrigin({ headers, socket }: IncomingMessage, answerWith: UpgradeAnswer): void {
    const { origin } = headers;
    if (origin === undefined || this.#options.wsOrigins.includes(origin)) return answerWith(true);
    const facts = { origin, from: socket.remoteAddress };
    this.#seldom.warn('origin', facts, 'WebSocket refused: --ws-origin does not list this page');
    answerWith(false, 403, 'this Origin is not allowed: list it with --ws-origin');
  }

  /**
   * The answer to an invalid certificate is one to CONNECT: Node verifies after the handshake, when
   * TLS 1.3 has no alert left, and a link that just ends looks like a broker that is not there.
   */
  #certify(connection: Duplex, socket: Socket): void {
    const { certificates } = this.#options;
    if (!certificates || !(socket instanceof TLSSocket)) return;
    try {
      const identity = certificates.identityOf(socket);
      if (identity) this.#certified.set(connection, identity);
    } catch (error) {
      this.#certified.set(connection, 'refused');
      const problem = toProblem(error);
      const from = socket.remoteAddress;
      const facts = { from, problem };
      // The message has the name that a stranger gave himself, and the time.
      this.#seldom.warn(`${problem.code} ${from}`, facts, 'login refused: its certificate');
    }
  }

  #noHandshake(error: Error): void {
    this.#options.log.debug({ error: error.message }, 'no TLS handshake');
  }

  /** Aedes reads with `read()`: the guard there sees the bytes before Aedes' parser. */
  #guard(engine: ConnectionEngine, connection: Duplex, from: string): void {
    const guard = new PacketGuard(() =>
      engine.isKnown(connection) ? PACKET_BYTES_MAX : LIMITS.connectPacketBytesMax,
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
