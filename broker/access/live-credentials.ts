/**
 * The credentials of a running broker: the file as it was when it could last be read. It is read
 * again when it changes and on request; one that cannot be read or does not parse changes nothing,
 * since a slip of an editor must not lock a fleet out. Who is let in by an older file is known
 * here, so that the doors can end what no longer holds.
 *
 * The file is looked at by `stat`, not by inotify: it may be replaced, mounted or a link to one of
 * many versions, and all that shows in its time, size or inode.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Identity } from './access.ts';
import { CredentialSet, readCredentialUsers, type Credentials } from './credentials.ts';
import { PasswordChecker } from './passwords.ts';

export class LiveCredentials implements Credentials {
  readonly #path: string;
  readonly #log: Log;
  readonly #checker = new PasswordChecker();
  /** What the file said of a user when this identity was proven. */
  readonly #proofs = new WeakMap<Identity, string | null>();
  readonly #onChange: (() => void)[] = [];
  readonly #reread = (): void => void this.reload();
  #set: CredentialSet;
  #isAsked = false;
  #reading: Promise<void> | null = null;

  private constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    this.#set = new CredentialSet([], this.#checker);
  }

  /** @throws DroverError FILE_UNREADABLE, JSON_INVALID, CREDENTIALS_INVALID */
  static async open(path: string, log: Log): Promise<LiveCredentials> {
    const live = new LiveCredentials(path, log);
    // Before the first reading: what changes while it runs must not be missed.
    watchFile(path, { interval: LIMITS.credentialsLookMs, persistent: false }, live.#reread);
    try {
      live.#set = await live.#readSet();
    } catch (error) {
      await live.close();
      throw error;
    }
    return live;
  }

  async authenticate(
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<Identity | null> {
    const set = this.#set;
    const identity = this.#prove(set, await set.authenticate(username, password));
    // Scrypt takes a while: by the time it is done another file may be in force.
    return identity && this.isCurrent(identity) ? identity : null;
  }

  authenticateToken(token: string): Identity | null {
    return this.#prove(this.#set, this.#set.authenticateToken(token));
  }

  isCurrent(identity: Identity): boolean {
    if (identity.kind === 'anyone') return false;
    const proof = this.#proofs.get(identity) ?? null;
    return proof !== null && proof === this.#set.describe(identity.username);
  }

  has(username: string): boolean {
    return this.#set.describe(username) !== null;
  }

  /** Hears that other credentials are in force. */
  onChange(listener: () => void): void {
    this.#onChange.push(listener);
  }

  /** Resolves when the file as it is now has been read. It never rejects: the log says what failed. */
  async reload(): Promise<void> {
    this.#isAsked = true;
    this.#reading ??= this.#readWhileAsked().finally(() => (this.#reading = null));
    await this.#reading;
  }

  async close(): Promise<void> {
    unwatchFile(this.#path, this.#reread);
    await this.#reading;
  }

  async #readWhileAsked(): Promise<void> {
    while (this.#isAsked) {
      this.#isAsked = false;
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    try {
      this.#set = await this.#readSet();
    } catch (error) {
      const problem = toProblem(error);
      this.#log.error({ problem }, 'could not reload credentials, the previous ones stay in force');
      return;
    }
    this.#log.info({}, 'reloaded credentials');
    for (const listener of this.#onChange) listener();
  }

  async #readSet(): Promise<CredentialSet> {
    return new CredentialSet(await readCredentialUsers(this.#path), this.#checker);
  }

  #prove(set: CredentialSet, identity: Identity | null): Identity | null {
    if (identity?.kind === 'user') this.#proofs.set(identity, set.describe(identity.username));
    return identity;
  }
}
