/**
 * Judges each CONNECT: the identity of the client, and whether it may use its client id, its will
 * and one more connection.
 */

import type { AuthenticateError, Client } from 'aedes';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../../shared/base/limits.ts';
import type { SeldomLog } from '../../shared/base/seldom-log.ts';
import { decidersOf } from '../../shared/formats/client-ids.ts';
import { decideClientId, decidePublish, ownerOf, type Identity } from '../access/access.ts';
import type { Credentials } from '../access/credentials.ts';
import { keepsSession, refusedLogin } from './aedes-client.ts';
import type { Sessions } from './sessions.ts';

export interface LoginsOptions {
  readonly credentials: Credentials | null;
  /** True when every client must have a name, with or without credentials. */
  readonly needsName: boolean;
  readonly sessions: Sessions;
  readonly seldom: SeldomLog;
  /** The identity in its certificate; null when it showed none. */
  certified(connection: Duplex): Identity | 'refused' | null;
  /** False when this user has all the connections of its share. */
  hasShare(connection: Duplex, identity: Identity): boolean;
  /** The identity that is connected with this client id. */
  holderOf(clientId: string): Identity | null;
}

export type JudgedLogin =
  | { readonly kind: 'refused'; readonly error: AuthenticateError }
  | {
      readonly kind: 'known';
      readonly identity: Identity;
      readonly owner: string;
      readonly isCertified: boolean;
    };

interface Asked {
  readonly will: string | null;
  readonly hasId: boolean;
}

/** CONNACK return codes of MQTT 3.1.1, table 3.1. */
const [ID_REJECTED, UNAVAILABLE, BAD_CREDENTIALS, NOT_AUTHORIZED] = [2, 3, 4, 5] as const;

export class Logins {
  readonly #options: LoginsOptions;
  readonly #asked = new WeakMap<Client, Asked>();

  constructor(options: LoginsOptions) {
    this.#options = options;
  }

  /** Records the parts of a CONNECT packet that are judged later. */
  asked(client: Client, packet: { clientId?: string; will?: { topic: string } }): void {
    const hasId = packet.clientId !== undefined && packet.clientId !== '';
    this.#asked.set(client, { will: packet.will?.topic ?? null, hasId });
  }

  async judge(
    client: Client,
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<JudgedLogin> {
    const { credentials, needsName, hasShare, seldom } = this.#options;
    const nameless: Identity | null = needsName ? null : { kind: 'anyone' };
    const certified = this.#options.certified(client.conn);
    if (certified === 'refused') return refused(NOT_AUTHORIZED); // whatever else it brings
    const identity =
      certified ?? (credentials ? await credentials.authenticate(username, password) : nameless);
    if (!identity) {
      const user = username?.slice(0, LIMITS.clientIdLengthMax) ?? null;
      const reason = username === undefined ? 'no user was given' : 'no user has this secret';
      seldom.warn('credentials', { user, reason }, 'login refused');
      return refused(BAD_CREDENTIALS);
    }
    const { will, hasId } = this.#asked.get(client) ?? { will: null, hasId: true };
    // A stored session without a client id could never be found again [MQTT-3.1.3-8].
    if (!hasId && keepsSession(client)) return refused(ID_REJECTED);
    const owner = ownerOf(identity, certified !== null);
    // Before its will: a client with another robot's id also has that robot's will, and the refusal
    // has to name the id.
    if (!this.#mayUseClientId(identity, client.id, owner)) return refused(ID_REJECTED);
    // A will is published when the client can no longer be refused, so it is judged now.
    const willing = will === null ? null : decidePublish(identity, client.id, will);
    if (willing?.kind === 'deny') {
      const facts = { client: client.id, topic: will, reason: willing.reason };
      seldom.warn(`will ${client.id}`, facts, 'login refused: it may not have this will');
      return refused(NOT_AUTHORIZED);
    }
    if (!hasShare(client.conn, identity)) {
      const user = identity.kind === 'user' ? identity.username : null;
      seldom.warn(`share ${user}`, { user }, 'login refused: too many connections of a user');
      return refused(UNAVAILABLE);
    }
    return { kind: 'known', identity, owner, isCertified: certified !== null };
  }

  /** A second connection with the same id ends the first, so only its own user may open it. */
  #mayUseClientId(identity: Identity, clientId: string, owner: string): boolean {
    const { holderOf, sessions, seldom } = this.#options;
    const { credentials } = this.#options;
    const isUser = (name: string): boolean => credentials?.has(name) === true;
    const decision = decideClientId(identity, clientId, { holder: holderOf(clientId), isUser });
    const isOurs = (id: string): boolean => sessions.mayUse(id, owner);
    if (decision.kind === 'allow' && decidersOf(clientId).every(isOurs)) return true;
    const reason = decision.kind === 'deny' ? decision.reason : 'its session is of another user';
    const client = clientId.slice(0, LIMITS.clientIdLengthMax);
    seldom.warn(`id ${client}`, { client, reason }, 'client id refused');
    return false;
  }
}

const refused = (code: 2 | 3 | 4 | 5): JudgedLogin => ({
  kind: 'refused',
  error: refusedLogin(code),
});
