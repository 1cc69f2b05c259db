/**
 * The credentials file: users, their roles, and their tokens or passwords. Tokens are random and
 * stored as SHA-256; passwords are chosen by people and stored as scrypt. An answer takes as long
 * for an unknown user. A secret with the shape of a token is only compared as a token, so a fleet
 * of robots that lost their credentials costs no scrypt.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { bytesToHex, hexToBytes, utf8 } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { PUBLIC_KEY_PATTERN, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { sha256, sha256Hex } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { withFileLock } from '../../shared/io/file-lock.ts';
import {
  idSchema,
  parseDocument,
  robotIdSchema,
  sha256Schema,
} from '../../shared/formats/schema.ts';
import type { Identity } from './access.ts';
import { parsePasswordHash, PasswordChecker, unmatchableHash } from './passwords.ts';

export const ROLES = ['publisher', 'robot', 'technician', 'relay', 'metrics'] as const;

/**
 * Role of a publisher with an approval key, in the file alone. A program that does not know such
 * keys knows no such role either: it refuses the file. It would else write the user back without
 * the key, or lead and take unsigned approvals of that user.
 */
const SIGNING_ROLE = 'signing-publisher';

const userSchema = z
  .object({
    username: idSchema,
    role: z.enum([...ROLES, SIGNING_ROLE]),
    robot_id: robotIdSchema.optional(),
    /** `<N>$<r>$<p>$<salt>$<key>`: passwords.ts */
    password_scrypt: z
      .string()
      .max(256)
      .refine((text) => parsePasswordHash(text) !== null, 'want <N>$<r>$<p>$<salt>$<key>')
      .optional(),
    token_sha256: sha256Schema.optional(),
    /** Approvals of this user count only when this key has signed them. */
    approval_key: z.string().regex(PUBLIC_KEY_PATTERN, 'want 64 lower-case hex digits').optional(),
  })
  .refine((user) => user.role !== 'robot' || user.robot_id !== undefined, 'a robot needs robot_id')
  .refine(
    (user) => user.password_scrypt !== undefined || user.token_sha256 !== undefined,
    'needs token_sha256 or password_scrypt',
  )
  .refine(
    (user) => user.role !== SIGNING_ROLE || user.approval_key !== undefined,
    `a ${SIGNING_ROLE} needs approval_key`,
  )
  .transform(({ role, ...user }) => ({ ...user, role: asKnown(role) }));

const asKnown = (role: (typeof ROLES)[number] | typeof SIGNING_ROLE): (typeof ROLES)[number] =>
  role === SIGNING_ROLE ? 'publisher' : role;

const fileSchema = z.object({
  users: z
    .array(userSchema)
    .max(LIMITS.credentialsMax)
    .refine((all) => isUnique(all.map((one) => one.username)), 'a user twice')
    .refine(
      (all) => isUnique(all.flatMap((one) => one.token_sha256 ?? [])),
      'two users with one token',
    )
    .refine(
      (all) => isUnique(all.flatMap((one) => one.approval_key ?? [])),
      'two users with one approval key',
    ),
});

function isUnique(texts: readonly string[]): boolean {
  return new Set(texts).size === texts.length;
}

export type CredentialUser = z.output<typeof userSchema>;
export type CredentialUserFields = Omit<z.input<typeof userSchema>, 'role'> &
  Pick<CredentialUser, 'role'>;

const KIND = {
  what: 'credentials file',
  schema: fileSchema,
  bytesMax: LIMITS.credentialsBytesMax,
  code: 'CREDENTIALS_INVALID',
} as const;

const TOKEN_BYTES = 32;
/** base64url of that many bytes */
const TOKEN_SHAPE = /^[A-Za-z0-9_-]{43}$/;

export interface Credentials {
  /**
   * @returns null when user name, password or token do not match
   * @throws DroverError CONNECTIONS_FULL when too many passwords wait to be checked
   */
  authenticate(
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<Identity | null>;
  authenticateToken(token: string): Identity | null;
  /** True when the same secret would give the same identity and role now. */
  isCurrent(identity: Identity): boolean;
  /** True when a user of this name is in the file. */
  has(username: string): boolean;
}

/** @throws DroverError FILE_UNREADABLE, CREDENTIALS_INVALID */
export async function readCredentialUsers(path: string): Promise<CredentialUser[]> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await readFile(path));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read credentials file: ${why}`, { cause });
  }
  try {
    return parseDocument(KIND, bytes).users;
  } catch (cause) {
    if (!(cause instanceof DroverError) || cause.code !== 'JSON_INVALID') throw cause;
    // it is not a signed document
    throw new DroverError('CREDENTIALS_INVALID', cause.message, { cause });
  }
}

/** As `putCredentialUsers`, for one. */
export const putCredentialUser = (path: string, user: CredentialUserFields): Promise<boolean> =>
  putCredentialUsers(path, [user]);

/**
 * Adds or replaces users, all of them or none; the first ones create the file. Concurrent
 * commands wait for each other. A file keeps its owner and its permissions: root changes it, and
 * a broker that is not root reads it. A user who gets a new secret keeps the approval key: whoever
 * renews a password does not mean that it alone should be enough again.
 * @returns true when the file is a new one
 * @throws DroverError FILE_UNREADABLE, CREDENTIALS_INVALID, FILE_LOCKED; USAGE for too many
 *   users, or for one that is there already and may not be replaced
 */
export async function putCredentialUsers(
  path: string,
  added: readonly CredentialUserFields[],
  { mayReplace = true }: { readonly mayReplace?: boolean } = {},
): Promise<boolean> {
  return await withFileLock(path, async () => {
    const users = await readUsersIfAny(path);
    const names = new Set(added.map((one) => one.username));
    const old = users.find((one) => names.has(one.username));
    if (old && !mayReplace) {
      const hint = 'go on with --from N; one user is renewed with --user NAME';
      throw new DroverError('USAGE', `add users: ${old.username} is in ${path}`, { hint });
    }
    const others = users.filter((one) => !names.has(one.username));
    assertNoLookalike(path, users, added);
    const keys = new Map(users.map((one) => [one.username, one.approval_key]));
    const kept = added.map((one) => withKey(one, one.approval_key ?? keys.get(one.username)));
    const all = [...others, ...kept];
    if (all.length > LIMITS.credentialsMax) {
      const counts = `got ${all.length}, want at most ${LIMITS.credentialsMax}`;
      throw new DroverError('USAGE', `add users: too many in ${path} (${counts})`);
    }
    return await writeUsers(path, all);
  });
}

/** @returns true when the file is a new one */
async function writeUsers(path: string, users: readonly CredentialUserFields[]): Promise<boolean> {
  const like = await stat(path).catch(() => null);
  const text = `${JSON.stringify({ users: users.map(inFile) }, null, 2)}\n`;
  await writeFileAtomic(path, text, 0o600, like ?? undefined);
  return like === null;
}

const inFile = (user: CredentialUserFields): z.input<typeof userSchema> =>
  user.role === 'publisher' && user.approval_key !== undefined
    ? { ...user, role: SIGNING_ROLE }
    : user;

/** A key that is undefined is left out of the file. */
const withKey = (
  user: CredentialUserFields,
  key: PublicKeyHex | null | undefined,
): CredentialUserFields => ({ ...user, approval_key: key ?? undefined });

/**
 * Gives a user an approval key, in the place of an older one, or takes it away.
 * @param key null for none
 * @returns the key before; null for none
 * @throws DroverError FILE_UNREADABLE, CREDENTIALS_INVALID, FILE_LOCKED; USAGE for a user who is
 *   not there or approves nothing, and for the key of another user
 */
export async function setApprovalKey(
  path: string,
  username: string,
  key: PublicKeyHex | null,
): Promise<PublicKeyHex | null> {
  return await withFileLock(path, async () => {
    const users = await readCredentialUsers(path);
    const refuse = (why: string, hint: string): never => {
      throw new DroverError('USAGE', `set approval key of ${username} in ${path}: ${why}`, {
        hint,
      });
    };
    const user = users.find((one) => one.username === username);
    const add = `drover-broker passwd --file ${path} --user NAME --role publisher adds a user`;
    if (user === undefined) return refuse('there is no such user', add);
    if (key !== null && user.role !== 'publisher') {
      return refuse(
        `a ${user.role} approves nothing`,
        'only publishers approve: docs/operations.md',
      );
    }
    const other = users.find((one) => one.approval_key === key && one !== user);
    if (key !== null && other) {
      return refuse(`${other.username} has this key`, 'each person has a key of their own');
    }
    await writeUsers(
      path,
      users.map((one) => (one === user ? withKey(one, key) : one)),
    );
    return user.approval_key ?? null;
  });
}

/**
 * People take names that differ in case for one: `ana` and `Ana` would approve a wave as two. Names
 * are ASCII without blanks (idSchema), so there is no other form of one. Those that are there stay.
 * @throws DroverError USAGE
 */
function assertNoLookalike(
  path: string,
  known: readonly CredentialUserFields[],
  added: readonly CredentialUserFields[],
): void {
  const names = new Set(known.map(({ username }) => username));
  const taken = new Map([...names].map((name) => [name.toLowerCase(), name]));
  for (const { username } of added.filter((one) => !names.has(one.username))) {
    const other = taken.get(username.toLowerCase());
    taken.set(username.toLowerCase(), username);
    if (other === undefined) continue;
    const why = `it differs from ${other} only in case`;
    const hint = `renew that one with --user ${other}, or choose a name that nobody takes for it`;
    throw new DroverError('USAGE', `add user ${username} to ${path}: ${why}`, { hint });
  }
}

async function readUsersIfAny(path: string): Promise<CredentialUserFields[]> {
  try {
    return await readCredentialUsers(path);
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    if (cause?.code === 'ENOENT') return [];
    throw error;
  }
}

export interface NamedUser {
  readonly username: string;
  readonly role: CredentialUser['role'];
  /** Approval key. */
  readonly key?: PublicKeyHex;
}

/** The users of one reading of the file. It never changes: live-credentials.ts replaces it. */
export class CredentialSet {
  readonly #byName: ReadonlyMap<string, CredentialUser>;
  readonly #byToken: ReadonlyMap<string, CredentialUser>;
  readonly #hasPasswords: boolean;
  readonly #checker: PasswordChecker;
  readonly #nobody = { token: randomBytes(TOKEN_BYTES), password: unmatchableHash() };
  /** SHA-256 of passwords that scrypt has accepted: reconnects cost no scrypt. */
  readonly #approved = new Map<string, Uint8Array>();

  /** @param checker shared by all sets of a broker: it bounds the scrypt that runs at once */
  constructor(users: readonly CredentialUser[], checker: PasswordChecker) {
    this.#checker = checker;
    this.#byName = new Map(users.map((user) => [user.username, user]));
    this.#byToken = new Map(
      users.flatMap((user) => (user.token_sha256 ? [[user.token_sha256, user] as const] : [])),
    );
    this.#hasPasswords = users.some((user) => user.password_scrypt !== undefined);
  }

  /** Equal for equal entries of two files; null when there is no such user. */
  describe(username: string): string | null {
    const user = this.#byName.get(username);
    if (!user) return null;
    const { role, robot_id, token_sha256, password_scrypt, approval_key } = user;
    return JSON.stringify({ role, robot_id, token_sha256, password_scrypt, approval_key });
  }

  /** Names and roles of all users, and the keys of those who have one. */
  names(): NamedUser[] {
    return [...this.#byName.values()].map(({ username, role, approval_key: key }) => ({
      ...{ username, role },
      ...(key !== undefined && { key }),
    }));
  }

  roleOf(username: string): CredentialUser['role'] | null {
    return this.#byName.get(username)?.role ?? null;
  }

  /** @param hash of a token */
  hasToken(hash: string): boolean {
    return this.#byToken.has(hash);
  }

  async authenticate(
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<Identity | null> {
    if (username === undefined || password === undefined) return null;
    const user = this.#byName.get(username);
    const digest = sha256(password);
    const token = user?.token_sha256 === undefined ? null : hexToBytes(user.token_sha256);
    const isToken = timingSafeEqual(digest, token ?? this.#nobody.token);
    if (user && token && isToken) return identityOf(user);
    if (!this.#hasPasswords || isTokenShaped(password)) return null;
    const fits = await this.#passwordFits(user, password, digest);
    return user && fits ? identityOf(user) : null;
  }

  /** The index is by the hash of the token: a timing leak would not reveal the token. */
  authenticateToken(token: string): Identity | null {
    const user = this.#byToken.get(sha256Hex(utf8(token)));
    return user ? identityOf(user) : null;
  }

  async #passwordFits(
    user: CredentialUser | undefined,
    password: Uint8Array,
    digest: Uint8Array,
  ): Promise<boolean> {
    const stored = parsePasswordHash(user?.password_scrypt ?? '');
    const approved = user && this.#approved.get(user.username);
    if (approved && timingSafeEqual(approved, digest)) return true;
    const fits = await this.#checker.fits(password, stored ?? this.#nobody.password);
    if (!user || !stored || !fits) return false;
    this.#approved.set(user.username, digest);
    return true;
  }
}

function identityOf(user: CredentialUser): Identity {
  const { username, role, approval_key: approvalKey } = user;
  const robot = role === 'robot' ? (user.robot_id ?? null) : null;
  return { kind: 'user', username, role, robot, ...(approvalKey !== undefined && { approvalKey }) };
}

/** True for a text that cannot be a password: `authenticate` treats it as a token. */
export function isTokenShaped(password: Uint8Array): boolean {
  return password.byteLength === 43 && TOKEN_SHAPE.test(Buffer.from(password).toString('latin1'));
}

/** A token of 256 random bits, and its stored hash. */
export function makeToken(): { token: string; sha256: string } {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  return { token, sha256: bytesToHex(sha256(utf8(token))) };
}
