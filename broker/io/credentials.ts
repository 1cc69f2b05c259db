/**
 * The credentials file: users, their roles, and how they prove who they are. Tokens are random and
 * stored as SHA-256; passwords are chosen by people and stored as scrypt, whose cost is bounded so
 * that a fleet that logs in at once does not starve the broker.
 */

import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { base64ToBytes, bytesToBase64, utf8 } from '../../shared/bytes.ts';
import { DroverError } from '../../shared/errors.ts';
import { sha256, sha256Hex } from '../../shared/hash.ts';
import { LIMITS } from '../../shared/limits.ts';
import { idSchema, parseDocument, robotIdSchema, sha256Schema } from '../../shared/schema.ts';
import type { Identity } from '../core/access.ts';

const ROLES = ['publisher', 'robot', 'technician', 'relay'] as const;

const userSchema = z
  .object({
    username: idSchema,
    role: z.enum(ROLES),
    robot_id: robotIdSchema.optional(),
    /** base64 of salt (16 bytes) and key (32 bytes) */
    password_scrypt: z.string().max(200).optional(),
    token_sha256: sha256Schema.optional(),
  })
  .refine((user) => user.role !== 'robot' || user.robot_id !== undefined, 'a robot needs robot_id')
  .refine(
    (user) => user.password_scrypt !== undefined || user.token_sha256 !== undefined,
    'needs token_sha256 or password_scrypt',
  );

const fileSchema = z.object({
  users: z
    .array(userSchema)
    .max(LIMITS.credentialsMax)
    .refine((all) => new Set(all.map((one) => one.username)).size === all.length, 'a user twice'),
});

export type CredentialUser = z.output<typeof userSchema>;
export type CredentialUserFields = z.input<typeof userSchema>;

const KIND = {
  what: 'credentials file',
  schema: fileSchema,
  bytesMax: LIMITS.credentialsBytesMax,
  code: 'CREDENTIALS_INVALID',
} as const;

const SALT_BYTES = 16;
const KEY_BYTES = 32;
const SCRYPT = { N: 16_384, r: 8, p: 1 } as const; // OWASP's floor for interactive logins

export interface Credentials {
  /** @returns null when user name, password or token do not fit */
  authenticate(
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<Identity | null>;
  authenticateToken(token: string): Identity | null;
}

/** @throws DroverError FILE_UNREADABLE, JSON_INVALID, CREDENTIALS_INVALID */
export async function readCredentialUsers(path: string): Promise<CredentialUser[]> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await readFile(path));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read credentials file: ${why}`, { cause });
  }
  return parseDocument(KIND, bytes).users;
}

/** @throws DroverError FILE_UNREADABLE, JSON_INVALID, CREDENTIALS_INVALID */
export async function openCredentials(path: string): Promise<Credentials> {
  return new FileCredentials(await readCredentialUsers(path));
}

class FileCredentials implements Credentials {
  readonly #byName: ReadonlyMap<string, CredentialUser>;
  readonly #byToken: ReadonlyMap<string, CredentialUser>;
  /** SHA-256 of passwords that scrypt has approved: reconnects of a fleet cost no scrypt. */
  readonly #approved = new Map<string, string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(users: readonly CredentialUser[]) {
    this.#byName = new Map(users.map((user) => [user.username, user]));
    this.#byToken = new Map(
      users.flatMap((user) => (user.token_sha256 ? [[user.token_sha256, user] as const] : [])),
    );
  }

  async authenticate(
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<Identity | null> {
    if (username === undefined || password === undefined) return null;
    const user = this.#byName.get(username);
    if (user?.token_sha256 && tokenFits(password, user.token_sha256)) return identityOf(user);
    if (!user?.password_scrypt) return null; // user names are robot ids: no secret to hide by time
    const fits = await this.#passwordFits(username, password, user.password_scrypt);
    return fits ? identityOf(user) : null;
  }

  /** The index is by the hash of the token: what a comparison could leak is not the token. */
  authenticateToken(token: string): Identity | null {
    const user = this.#byToken.get(sha256Hex(utf8(token)));
    return user ? identityOf(user) : null;
  }

  async #passwordFits(name: string, password: Uint8Array, stored: string): Promise<boolean> {
    const digest = sha256Hex(password);
    if (this.#approved.get(name) === digest) return true;
    // One at a time: scrypt takes 16 MiB and a core, and attackers can ask as often as they like.
    const turn = this.#turn.then(() => scryptFits(password, stored));
    this.#turn = turn.catch(() => undefined); // the asker gets the error, the queue goes on
    const fits = await turn;
    if (fits) this.#approved.set(name, digest);
    return fits;
  }
}

function identityOf(user: CredentialUser): Identity {
  const { username, role } = user;
  return { kind: 'user', username, role, robot: role === 'robot' ? (user.robot_id ?? null) : null };
}

function tokenFits(token: Uint8Array, wanted: string): boolean {
  return timingSafeEqual(sha256(token), Buffer.from(wanted, 'hex'));
}

function derive(password: Uint8Array, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, SCRYPT, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

async function scryptFits(password: Uint8Array, stored: string): Promise<boolean> {
  const bytes = base64ToBytes(stored);
  if (!bytes || bytes.byteLength !== SALT_BYTES + KEY_BYTES) return false;
  const key = await derive(password, bytes.subarray(0, SALT_BYTES));
  return timingSafeEqual(key, bytes.subarray(SALT_BYTES));
}

/** What is stored for a password. */
export async function hashPassword(password: Uint8Array): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  return bytesToBase64(Buffer.concat([salt, await derive(password, salt)]));
}

/** A token of 256 random bits, and what is stored for it. */
export function makeToken(): { token: string; sha256: string } {
  const token = randomBytes(KEY_BYTES).toString('base64url');
  return { token, sha256: createHash('sha256').update(token).digest('hex') };
}
