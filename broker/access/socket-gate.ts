/**
 * Admits or ends each socket of a server before anything is read from it: before TLS, before an
 * HTTP request, before CONNECT. The cost of a socket is bounded from its first moment.
 */

import type { ServerOptions } from 'node:http';
import type { Server, Socket } from 'node:net';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import type { Identity } from './access.ts';
import type { ConnectionShares } from './connection-shares.ts';

/** One open TCP connection; the same for a TLS socket and the one below it. */
const keyOf = ({ localPort, remoteAddress, remotePort }: Socket): string =>
  `${localPort} ${remoteAddress} ${remotePort}`;

/** For each HTTP server: a request that is not complete in time ends with its socket. */
export const HTTP_TIMES: ServerOptions = {
  headersTimeout: LIMITS.connectTimeoutMs,
  requestTimeout: LIMITS.httpRequestMs,
  connectionsCheckingInterval: LIMITS.httpCheckMs,
};

export class SocketGate {
  readonly #shares: ConnectionShares;
  readonly #seldom: SeldomLog;

  constructor(shares: ConnectionShares, log: Log) {
    this.#shares = shares;
    this.#seldom = new SeldomLog(log, LIMITS.refusalLogMs, () => performance.now());
  }

  /** Call before other listeners of `connection`: refused sockets are destroyed by then. */
  guard(server: Server): void {
    server.prependListener('connection', (socket: Socket) => this.#admit(socket));
    server.on('error', ({ message }: Error) => {
      if (!server.listening) return; // the caller of `listen` reports why it failed
      this.#seldom.warn('accept', { error: message }, 'a connection could not be taken');
    });
  }

  /** False when this user has no connection left. */
  name(socket: Socket, identity: Identity): boolean {
    return this.#shares.name(keyOf(socket), identity);
  }

  #admit(socket: Socket): void {
    const key = keyOf(socket);
    const from = socket.remoteAddress ?? 'unknown';
    const seat = this.#shares.open(key, from);
    if (typeof seat !== 'string') {
      socket.once('close', () => this.#shares.close(seat));
      return;
    }
    this.#seldom.warn(seat, { from, open: this.#shares.size }, `connection refused: ${seat}`);
    socket.destroy();
  }
}
