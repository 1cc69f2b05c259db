/**
 * Reads and writes private keys: raw 32-byte Ed25519 seeds from a file, from the environment, or
 * from the standard output of a command, so that a secrets manager needs no disk.
 * A key never appears in a message, and a key file is never overwritten. Hex is not accepted from a
 * file on purpose: 64 hex digits in a file are a .pub, and signing with a public key taken for a
 * seed would silently succeed.
 */

import { createPrivateKey, randomBytes, type KeyObject } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { mkdir, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hexToBytes } from '../crypto/bytes.ts';
import { publicKeyOf, SEED_BYTES, type PublicKeyHex } from '../crypto/ed25519.ts';
import { DroverError } from '../base/errors.ts';
import { syncFolder } from './atomic-file.ts';
import { readInput } from './cli.ts';
import { unsafeLine } from './owned-file.ts';
import { shellWord } from '../base/printable.ts';
import { LIMITS } from '../base/limits.ts';
import { runCommand } from './run-command.ts';

export const KEY_ENVIRONMENT = 'DROVER_KEY';

export interface KeySources {
  readonly files: readonly string[];
  readonly commands: readonly string[];
  /** Value of DROVER_KEY; used only when neither a file nor a command is given. */
  readonly environment: string | undefined;
}

const PEM_START = '-----BEGIN';
const OTHERS_MAY_READ = 0o077;

/**
 * @param warn called with one line about a key that other users may read
 * @returns at least one 32-byte seed
 * @throws DroverError KEY_MISSING, KEY_IS_PEM, KEY_BAD_LENGTH, KEY_WRONG_KIND, KEY_COMMAND_FAILED,
 *   FILE_UNREADABLE
 */
export async function readSeeds(
  sources: KeySources,
  warn: (line: string) => void,
): Promise<Uint8Array[]> {
  const seeds = sources.files.map((path) => readKeyFile(path, warn));
  for (const command of sources.commands) seeds.push(await readKeyCommand(command));
  if (seeds.length > 0) return seeds;
  if (sources.environment === undefined || sources.environment === '') {
    throw new DroverError('KEY_MISSING', 'read key: none was given');
  }
  return [seedFromEnvironment(sources.environment)];
}

function readKeyFile(path: string, warn: (line: string) => void): Uint8Array {
  const bytes = readInput(path, `key ${path}`);
  if (looksLikePem(bytes)) throw keyIsPem(path, bytes);
  if (bytes.byteLength !== SEED_BYTES) {
    throw new DroverError(
      'KEY_BAD_LENGTH',
      `read key ${path}: wrong length (got ${bytes.byteLength} bytes, want ${SEED_BYTES})`,
    );
  }
  warnIfOpen(path, warn);
  return bytes;
}

/** Permission bits of a file that others than its owner may use; null when they may not. */
export function openModeOf(path: string): number | null {
  const mode = statSync(path).mode & 0o777;
  return (mode & OTHERS_MAY_READ) === 0 ? null : mode;
}

/** Says how to shut a key file that others may read. */
export function warnIfOpen(path: string, warn: (line: string) => void): void {
  const mode = openModeOf(path);
  const line =
    mode === null
      ? unsafeLine(path, 'key')
      : `key ${path} is open to others (mode ${mode.toString(8)}): chmod 600 ${shellWord(path)}`;
  if (line !== null) warn(line);
}

function looksLikePem(bytes: Uint8Array): boolean {
  return Buffer.from(bytes).subarray(0, 1_000).toString('latin1').includes(PEM_START);
}

/** The hint holds the very command that converts this file, when there is one. */
function keyIsPem(path: string, bytes: Uint8Array): DroverError {
  const message = `read key ${path}: it is a PEM file (want ${SEED_BYTES} raw bytes)`;
  let kind: string | undefined;
  try {
    kind = privateKeyOf(bytes).asymmetricKeyType;
  } catch {
    kind = undefined; // encrypted, or no private key at all: openssl will say which
  }
  if (kind !== undefined && kind !== 'ed25519') return wrongKind(path, kind);
  const word = shellWord(path);
  const raw = shellWord(`${path.replace(/\.pem$/, '')}.raw`);
  return new DroverError('KEY_IS_PEM', message, {
    hint: `convert it: openssl pkey -in ${word} -outform DER | tail -c ${SEED_BYTES} > ${raw}, or drover keygen --from-pem ${word} --out NAME`,
  });
}

function wrongKind(path: string, kind: string): DroverError {
  return new DroverError(
    'KEY_WRONG_KIND',
    `read key ${path}: wrong kind of key (got ${kind}, want ed25519)`,
  );
}

function seedFromEnvironment(text: string): Uint8Array {
  if (text.includes(PEM_START)) {
    throw new DroverError('KEY_IS_PEM', `read key from ${KEY_ENVIRONMENT}: it is PEM`);
  }
  const seed = hexToBytes(text.trim().toLowerCase());
  if (seed?.byteLength === SEED_BYTES) return seed;
  throw new DroverError(
    'KEY_BAD_LENGTH',
    `read key from ${KEY_ENVIRONMENT}: not a key (got ${text.length} characters, want 64 hex digits)`,
    { hint: `set ${KEY_ENVIRONMENT} to the seed in hex: xxd -p -c 32 NAME.key` },
  );
}

async function readKeyCommand(command: string): Promise<Uint8Array> {
  const failed = (why: string) => new DroverError('KEY_COMMAND_FAILED', `run key command: ${why}`);
  const bounds = { msMax: LIMITS.keyCommandMsMax, bytesMax: LIMITS.keyCommandBytesMax };
  const { output, failure } = await runCommand(command, null, bounds);
  if (failure !== null) throw failed(failure);
  const text = output.toString('latin1').trim();
  if (text.includes(PEM_START))
    throw new DroverError('KEY_IS_PEM', 'run key command: it printed PEM');
  if (output.byteLength === SEED_BYTES) return new Uint8Array(output);
  const seed = hexToBytes(text.toLowerCase());
  if (seed?.byteLength === SEED_BYTES) return seed;
  throw failed(`wrong output (got ${output.byteLength} bytes, want 32 raw bytes or 64 hex digits)`);
}

function privateKeyOf(pem: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(pem), format: 'pem' });
}

/**
 * The raw seed in a PKCS#8 PEM file.
 * @throws DroverError FILE_UNREADABLE, KEY_WRONG_KIND
 */
export function readPemSeed(path: string): Uint8Array {
  const bytes = readInput(path, `key ${path}`);
  let key: KeyObject;
  try {
    key = privateKeyOf(bytes);
  } catch (cause) {
    throw new DroverError('KEY_WRONG_KIND', `read key ${path}: no plain private key in PEM`, {
      cause,
      hint: `see what it is: openssl pkey -in ${shellWord(path)} -noout -text (an encrypted key is decrypted by: openssl pkey -in ENCRYPTED -out PLAIN)`,
    });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw wrongKind(path, key.asymmetricKeyType ?? 'unknown');
  }
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url'));
}

export function newSeed(): Uint8Array {
  return new Uint8Array(randomBytes(SEED_BYTES));
}

export interface KeyPaths {
  readonly privatePath: string;
  readonly publicPath: string;
}

/** `NAME.key` and `NAME.pub`; a NAME that already ends in .key is used as it is. */
export function keyPaths(out: string): KeyPaths {
  const name = out.replace(/\.(key|pub)$/, '');
  return { privatePath: `${name}.key`, publicPath: `${name}.pub` };
}

/** @throws DroverError FILE_EXISTS */
export function assertKeyPathsFree(out: string): void {
  assertPathsFree(keyPaths(out));
}

/** @throws DroverError FILE_EXISTS */
export function assertPathsFree({ privatePath, publicPath }: KeyPaths): void {
  for (const path of [privatePath, publicPath]) {
    if (existsSync(path)) throw keyExists(path);
  }
}

function keyExists(path: string): DroverError {
  return new DroverError('FILE_EXISTS', `write key ${path}: it is there already`);
}

/**
 * Writes both halves, the private one first and readable by its owner only.
 * @throws DroverError FILE_EXISTS; nothing was changed then
 */
export async function writeKeyPair(out: string, seed: Uint8Array): Promise<PublicKeyHex> {
  assertKeyPathsFree(out);
  const publicKey = publicKeyOf(seed);
  await writePair(keyPaths(out), { secret: seed, open: `${publicKey}\n` });
  return publicKey;
}

/** @throws DroverError FILE_EXISTS, FILE_UNREADABLE */
export async function writePair(
  { privatePath, publicPath }: KeyPaths,
  pair: { readonly secret: Uint8Array | string; readonly open: string },
): Promise<void> {
  await mkdir(dirname(privatePath), { recursive: true });
  await writeNew(privatePath, pair.secret, 0o600);
  try {
    await writeNew(publicPath, pair.open, 0o644);
  } catch (error) {
    await unlink(privatePath); // just written here: half a pair is useless
    throw error;
  }
  await syncFolder(dirname(privatePath));
}

async function writeNew(path: string, bytes: Uint8Array | string, mode: number): Promise<void> {
  let handle;
  try {
    handle = await open(path, 'wx', mode);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') throw keyExists(path);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `write key ${path}: ${why}`, { cause });
  }
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
