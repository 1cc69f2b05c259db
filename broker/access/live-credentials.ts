/**
 * The credentials of a running broker: the file as it was last read without error. It is read again
 * when it changes and on request. A file that cannot be read or parsed changes nothing, since a
 * typing error must not lock a fleet out. This class knows which file admitted each identity, so
 * that connections which no longer match can be closed. Robots that enrolled stand beside the file.
 * The file is checked by `stat`, not by inotify: it may be replaced, mounted or a link to one of
 * many versions, and all of that shows in its time, size or inode.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { isSha256Hex, type RobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Identity } from './access.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import {
  CredentialSet,
  readCredentialUsers,
  type Credentials,
  type CredentialUser,
} from './credentials.ts';
import { PasswordChecker } from './passwords.ts';

/**
 * Robots that enrolled: their ids and the hashes of the secrets that they made.
 * broker/enrolment keeps them on the disk.
 */
export class EnrolledUsers {
  readonly #byName = new Map<string, { robot: RobotId; hash: Sha256Hex }>();
  readonly #byHash = new Map<Sha256Hex, RobotId>();

  /** @param hash SHA-256 of the secret of this robot; null when it may connect no more */
  set(robot: RobotId, hash: Sha256Hex | null): void {
    const before = this.#byName.get(robot);
    if (before) this.#byHash.delete(before.hash);
    if (hash === null) {
      this.#byName.delete(robot);
    } else {
      this.#byName.set(robot, { robot, hash });
      this.#byHash.set(hash, robot);
    }
  }

  /** Equal for equal credentials; null when there is no such robot. */
  describe(username: string): string | null {
    const user = this.#byName.get(username);
    return user ? `enrolled ${user.hash}` : null;
  }

  /**
   * The robot with this user name and this hash of a secret. Hashes are looked up: a timing leak
   * would not reveal the secret.
   */
  find(hash: string, username?: string): Identity | null {
    const robot = isSha256Hex(hash) ? this.#byHash.get(hash) : undefined;
    if (robot === undefined || (username !== undefined && username !== robot)) return null;
    return { kind: 'user', username: robot, role: 'robot', robot };
  }
}

export class LiveCredentials implements Credentials {
  /** Robots that enrolled at this broker. A name of the file counts before one of them. */
  readonly enrolled = new EnrolledUsers();
  readonly #path: string;
  readonly #log: Log;
  readonly #checker = new PasswordChecker();
  /** The entry of the user when this identity was authenticated. */
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
    // Before the first reading, so that no change is missed while it runs.
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
    const robot = this.#findEnrolled(password && sha256Hex(password), username);
    if (robot) return robot;
    const identity = this.#prove(set, await set.authenticate(username, password));
    // Scrypt takes a while: another file may have been read meanwhile.
    return identity && this.isCurrent(identity) ? identity : null;
  }

  authenticateToken(token: string): Identity | null {
    const user = this.#prove(this.#set, this.#set.authenticateToken(token));
    return user ?? this.#findEnrolled(sha256Hex(utf8(token)));
  }

  isCurrent(identity: Identity): boolean {
    if (identity.kind === 'anyone') return false;
    const proof = this.#proofs.get(identity) ?? null;
    const { username } = identity;
    return proof !== null && proof === (this.#set.describe(username) ?? this.#ofEnrolled(username));
  }

  has(username: string): boolean {
    return this.hasInFile(username) || this.#ofEnrolled(username) !== null;
  }

  hasInFile(username: string): boolean {
    return this.#set.describe(username) !== null;
  }

  /** Users of the file; the same set until it was read again. */
  get inFile(): Pick<CredentialSet, 'names' | 'describe'> {
    return this.#set;
  }

  /** Of a user of the file; null when there is none. */
  roleOf(username: string): CredentialUser['role'] | null {
    return this.#set.roleOf(username);
  }

  /** @param hash of a token */
  hasTokenInFile(hash: Sha256Hex): boolean {
    return this.#set.hasToken(hash);
  }

  /** Called after the credentials have changed. */
  onChange(listener: () => void): void {
    this.#onChange.push(listener);
  }

  /** Calls the listeners: the credential of an enrolled robot was replaced or has ended. */
  changed(): void {
    for (const listener of this.#onChange) listener();
  }

  /** Resolves when the current file was read. Never rejects: failures are logged. */
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
    const before = this.#set;
    try {
      this.#set = await this.#readSet();
    } catch (error) {
      const problem = toProblem(error);
      this.#log.error({ problem }, 'could not reload credentials, the previous ones stay in force');
      return;
    }
    this.#log.info({}, 'reloaded credentials');
    this.#tellKeysLost(before);
    this.changed();
  }

  /** A program that does not know keys may have written the file, or a person without thinking. */
  #tellKeysLost(before: CredentialSet): void {
    const now = new Map(this.#set.names().map(({ username, key }) => [username, key]));
    const lost = before
      .names()
      .filter((one) => one.key !== undefined && now.has(one.username))
      .filter((one) => now.get(one.username) === undefined);
    if (lost.length === 0) return;
    const users = lost.map(({ username }) => username);
    const text = 'users lost their approval key: each one now approves with the password alone';
    this.#log.error({ users }, text);
  }

  async #readSet(): Promise<CredentialSet> {
    return new CredentialSet(await readCredentialUsers(this.#path), this.#checker);
  }

  #ofEnrolled(username: string): string | null {
    return this.enrolled.describe(username);
  }

  #findEnrolled(hash: string | undefined, username?: string): Identity | null {
    const robot = hash === undefined ? null : this.enrolled.find(hash, username);
    if (robot?.kind !== 'user' || this.hasInFile(robot.username)) return null;
    this.#proofs.set(robot, this.#ofEnrolled(robot.username));
    return robot;
  }

  #prove(set: CredentialSet, identity: Identity | null): Identity | null {
    if (identity?.kind === 'user') this.#proofs.set(identity, set.describe(identity.username));
    return identity;
  }
}
