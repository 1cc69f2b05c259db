/**
 * Sessions that outlive their connections, while the broker runs: who owns each, who may use it,
 * and when it ends. A session ends with its user, on the request of an operator, or when its client
 * did not return for `LIMITS.sessionKeepMs`. session-book.ts keeps the account.
 */

import type { Client } from 'aedes';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { ANYONE, userOfOwner, type Identity } from '../access/access.ts';
import type { Credentials } from '../access/credentials.ts';
import { keepsSession } from './aedes-client.ts';
import type { DroverPersistence } from './persistence.ts';
import type { SessionView } from './session-book.ts';

export interface SessionsOptions {
  readonly persistence: DroverPersistence;
  readonly credentials: Credentials | null;
  readonly log: Log;
  /** The client that is connected with this id. */
  clientOf(id: string): Client | undefined;
}

export interface LiveSession extends SessionView {
  readonly isConnected: boolean;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #owners = new WeakMap<object, string>();
  readonly #timer: NodeJS.Timeout;
  /** On the monotonic clock. */
  #agedAtMs = performance.now();

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#age(), LIMITS.sessionAgeMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Records the user that a client has authenticated as. */
  own(client: object, owner: string): void {
    this.#owners.set(client, owner);
  }

  ownerOf(client: object): string {
    return this.#owners.get(client) ?? ANYONE;
  }

  mayUse(session: string, owner: string): boolean {
    return this.#options.persistence.book.mayUse(session, owner);
  }

  hasRoomFor(client: Client): boolean {
    return this.#options.persistence.book.hasRoomFor(client.id, this.ownerOf(client));
  }

  /**
   * A client has logged in. Called before CONNACK: a relay that disconnects before it is recorded
   * could lose its id to the next client. The id of a relay is kept for its user also without a
   * session.
   */
  use(client: Client, identity: Identity): void {
    const { persistence, log } = this.#options;
    const isRelay = identity.kind === 'user' && identity.role === 'relay';
    const isKept = persistence.has(client.id) && keepsSession(client);
    if (!isKept && !(isRelay && this.hasRoomFor(client))) return;
    const stored = persistence.use(client.id, this.ownerOf(client));
    inBackground(log, 'store the owner of a session', stored);
  }

  list(): LiveSession[] {
    const { persistence, clientOf } = this.#options;
    return persistence.book
      .list()
      .map((one) => ({ ...one, isConnected: clientOf(one.session) !== undefined }));
  }

  /** Ends a session and its connection. @returns false when there is none */
  async remove(session: string): Promise<boolean> {
    const { persistence, clientOf } = this.#options;
    if (!persistence.book.has(session)) return false;
    const client = clientOf(session);
    if (client) await new Promise<void>((resolve) => client.close(() => resolve()));
    await persistence.removeSession(session);
    return true;
  }

  /** Starts to remove the sessions of users that are no longer in the credentials file. */
  removeOrphans(): void {
    inBackground(this.#options.log, 'remove sessions of users', this.#removeOrphans());
  }

  async #removeOrphans(): Promise<void> {
    const { credentials, persistence, log } = this.#options;
    if (!credentials) return;
    const hasUser = (owner: string): boolean => {
      const user = userOfOwner(owner);
      return user === null || credentials.has(user);
    };
    for (const session of persistence.book.orphans(hasUser)) {
      await this.remove(session);
      log.info({ client: session }, 'removed the session of a user who is gone');
    }
  }

  #age(): void {
    const { persistence, clientOf, log } = this.#options;
    const now = performance.now();
    const isConnected = (id: string): boolean => clientOf(id) !== undefined;
    const aged = persistence.age(now - this.#agedAtMs, isConnected);
    this.#agedAtMs = now;
    inBackground(log, 'count how long sessions are away', aged);
  }
}
