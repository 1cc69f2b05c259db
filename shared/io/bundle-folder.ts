/**
 * Opens a bundle: a folder, or one `.drover` tar of it. A bundle may come from a USB stick, so
 * nothing in it is trusted: only known names are read, each within its bound, and a tar is only
 * unpacked into a fresh folder of our own. The caller verifies the signatures.
 */

import { constants, createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  assertPartSize,
  COSIGNATURES_BYTES_MAX,
  COSIGNATURES_FILE,
  MANIFEST_FILE,
  PAYLOAD_FILE,
  SIGNATURE_FILE,
} from '../formats/bundle-parts.ts';
import type { Sha256Hex } from '../base/ids.ts';
import { Sha256Stream } from '../crypto/hash.ts';
import { SIGNATURE_BYTES } from '../crypto/ed25519.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { parseManifest, type Manifest } from '../formats/manifest.ts';
import { makeTempFolder } from './leftovers.ts';
import { unpackBundleTar } from './bundle-tar.ts';

export interface Bundle {
  /** The folder with the files; a temporary one for a `.drover` file. */
  readonly folder: string;
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  /**
   * 64 raw bytes each, signature.sig first; empty only when the caller accepts an unsigned bundle.
   */
  readonly signatures: readonly Uint8Array[];
  readonly payloadPath: string;
  readonly payloadBytes: number;
  /** Removes what opening put down; the bundle itself stays. */
  close(): Promise<void>;
}

/**
 * @param options.unsigned take a bundle without signature.sig as well
 * @throws DroverError FILE_UNREADABLE, BUNDLE_INCOMPLETE, BUNDLE_UNSIGNED, SIGNATURE_MALFORMED,
 *   DOCUMENT_TOO_LARGE, JSON_INVALID, MANIFEST_INVALID, PAYLOAD_TOO_LARGE, ARCHIVE_CORRUPT,
 *   ARCHIVE_UNSAFE
 */
export async function openBundle(
  path: string,
  options: { unsigned?: boolean } = {},
): Promise<Bundle> {
  if (await isFolder(path)) return await readBundle(path, options, async () => undefined);
  const { path: folder, remove } = makeTempFolder(join(tmpdir(), 'drover-bundle-'));
  try {
    await unpackBundleTar(folder, path);
    return await readBundle(folder, options, remove);
  } catch (error) {
    await remove();
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `open bundle ${path}: ${why}`, { cause });
  }
}

async function readBundle(
  folder: string,
  options: { unsigned?: boolean },
  close: () => Promise<void>,
): Promise<Bundle> {
  const payloadPath = join(folder, PAYLOAD_FILE);
  const payloadBytes = await payloadSize(payloadPath);
  const manifestBytes = await readPart(folder, MANIFEST_FILE, LIMITS.manifestBytesMax);
  if (!manifestBytes) throw incomplete(folder, MANIFEST_FILE);
  const manifest = parseManifest(manifestBytes);
  const signatures = await readSignatures(folder);
  if (signatures.length === 0 && options.unsigned !== true) {
    throw new DroverError(
      'BUNDLE_UNSIGNED',
      `open bundle ${folder}: there is no ${SIGNATURE_FILE}`,
    );
  }
  return { folder, manifestBytes, manifest, signatures, payloadPath, payloadBytes, close };
}

function incomplete(folder: string, name: string): DroverError {
  return new DroverError('BUNDLE_INCOMPLETE', `open bundle ${folder}: there is no ${name}`);
}

async function payloadSize(path: string): Promise<number> {
  const found = await stat(path).catch(() => null); // absent and unreadable end the same way
  if (!found?.isFile()) throw incomplete(path.slice(0, -PAYLOAD_FILE.length - 1), PAYLOAD_FILE);
  assertPartSize(PAYLOAD_FILE, found.size);
  return found.size;
}

async function readSignatures(folder: string): Promise<Uint8Array[]> {
  const first = await readPart(folder, SIGNATURE_FILE, SIGNATURE_BYTES);
  const more = await readPart(folder, COSIGNATURES_FILE, COSIGNATURES_BYTES_MAX);
  if (!first) return [];
  const signatures = [first];
  for (let at = 0; more && at < more.byteLength; at += SIGNATURE_BYTES) {
    signatures.push(more.slice(at, at + SIGNATURE_BYTES));
  }
  return signatures;
}

/** Null when the file is not there. Never reads more than `bytesMax` + 1 bytes. */
async function readPart(
  folder: string,
  name: string,
  bytesMax: number,
): Promise<Uint8Array | null> {
  let handle;
  try {
    // Not blocking, so that a fifo in the place of a file cannot hold the program up.
    handle = await open(join(folder, name), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `open bundle ${folder}: ${why}`, { cause });
  }
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw incomplete(folder, name);
    assertPartSize(name, found.size);
    const buffer = new Uint8Array(bytesMax + 1);
    let filled = 0;
    while (filled < buffer.byteLength) {
      const { bytesRead } = await handle.read(buffer, filled, buffer.byteLength - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    assertPartSize(name, filled);
    return buffer.slice(0, filled);
  } finally {
    await handle.close();
  }
}

/** Of a file of any size, in bounded memory. @throws an error of the file system */
export async function sha256OfFile(path: string): Promise<Sha256Hex> {
  const hash = new Sha256Stream();
  for await (const piece of createReadStream(path) as AsyncIterable<Uint8Array>) hash.update(piece);
  return hash.digestHex();
}
