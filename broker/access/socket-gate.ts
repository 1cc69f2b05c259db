/**
 * Takes or ends each socket of a server before anything is read from it: before TLS, before an HTTP
 * request, before CONNECT. What a socket may cost is bounded from its first moment.
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

/** For each server of HTTP: a request that is not there in time ends with its socket. */
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

  /** To be called before other listeners of `connection`: what is refused is destroyed by then. */
  guard(server: Server): void {
    server.prependListener('connection', (socket: Socket) => this.#admit(socket));
    server.on('error', ({ message }: Error) => {
      if (!server.listening) return; // who wanted it to listen says why it does not
      this.#seldom.warn('accept', { error: message }, 'a connection could not be taken');
    });
  }

  /** False when this user has its share of connections already. */
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
