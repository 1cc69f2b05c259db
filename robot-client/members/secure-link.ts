/**
 * The encrypted link between two computers of a robot: HTTP over TLS with the secret of their pair
 * file and a fresh key for each connection (ECDHE-PSK), so an old recording stays unreadable also
 * to a thief of the secret. Without the secret there is no connection, in either direction.
 */

import { constants, randomBytes } from 'node:crypto';
import { Agent as HttpsAgent, request as httpsRequest, type ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { LIMITS } from '../../shared/base/limits.ts';
import { leaderLinkFailure } from './link-failure.ts';
import { SECRET_BYTES, type Pair } from './pair-file.ts';

/**
 * No session is resumed: each connection proves the secret. TLS 1.2: Node.js has no secrets of this
 * kind in TLS 1.3.
 */
const TLS = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const;

export interface LinkAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** The member of each connection, which has proved that it has the secret. */
export function serverSide(
  pairs: readonly Pair[],
  onAsked: (socket: TLSSocket, computer: string) => void,
): {
  readonly options: ServerOptions;
  readonly memberOf: (socket: unknown) => Pair | null;
} {
  const members = new WeakMap<object, Pair>();
  const pskCallback = (socket: TLSSocket, identity: string) => {
    onAsked(socket, identity);
    const pair = pairs.find(({ computer }) => computer === identity);
    if (pair) members.set(socket, pair);
    // An unknown name fails as a wrong secret does: a stranger learns no name.
    return pair?.secret ?? randomBytes(SECRET_BYTES);
  };
  const memberOf = (socket: unknown): Pair | null =>
    typeof socket === 'object' && socket !== null ? (members.get(socket) ?? null) : null;
  const secureOptions = constants.SSL_OP_NO_TICKET;
  return {
    // Without a hint OpenSSL leaves the exchange out.
    options: { ...TLS, pskCallback, pskIdentityHint: 'drover', secureOptions },
    memberOf,
  };
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** The way from a member to its leader. */
export type Asking = Pick<LeaderLink, 'ask' | 'close'>;

/** Requests of a member to its leader. */
export class LeaderLink {
  readonly #agent: HttpsAgent;
  readonly #pair: Pair;
  readonly #at: Address;

  constructor(pair: Pair, at: Address) {
    [this.#pair, this.#at] = [pair, at];
    this.#agent = new HttpsAgent({
      ...TLS,
      keepAlive: true,
      maxSockets: LIMITS.memberRequestsMax,
      maxCachedSessions: 0,
      pskCallback: () => ({ psk: pair.secret, identity: pair.computer }),
      // The secret proves the leader, instead of a certificate with a name.
      checkServerIdentity: () => undefined,
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  /**
   * @throws DroverError LEADER_AWAY, LEADER_REFUSES, NO_LEADER_THERE; the reason of the signal when
   *   it is aborted
   */
  async ask(
    method: 'GET' | 'POST',
    path: string,
    { body, signal }: { readonly body?: Uint8Array; readonly signal?: AbortSignal } = {},
  ): Promise<LinkAnswer> {
    const late = AbortSignal.timeout(LIMITS.memberAnswerMs);
    const ended = signal ? AbortSignal.any([signal, late]) : late;
    try {
      return await this.#send(method, path, body ?? null, ended);
    } catch (cause) {
      signal?.throwIfAborted();
      throw leaderLinkFailure(late.aborted ? null : cause, this.#pair, this.#at);
    }
  }

  async #send(
    method: string,
    path: string,
    body: Uint8Array | null,
    signal: AbortSignal,
  ): Promise<LinkAnswer> {
    return await new Promise<LinkAnswer>((resolve, reject) => {
      const sent = httpsRequest(
        { ...this.#at, method, path, agent: this.#agent, signal },
        (answer) => {
          const pieces: Buffer[] = [];
          let bytes = 0;
          answer.on('data', (piece: Buffer) => {
            bytes += piece.byteLength;
            pieces.push(piece);
            if (bytes > LIMITS.memberBodyBytesMax)
              answer.destroy(new Error('its answer is too long'));
          });
          answer.on('error', reject);
          answer.on('end', () =>
            resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(pieces) }),
          );
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }
}
