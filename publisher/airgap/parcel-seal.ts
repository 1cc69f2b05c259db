/**
 * Encrypts a whole parcel with age, so that a lost stick reveals only its size. The content is
 * verified as ever: encryption does not prove who made it. At the site it is decrypted into a file
 * without a name, which is gone with the process.
 */

import type { Decrypter, Encrypter } from 'age-encryption';
import { mkdir, open, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ReadableStream } from 'node:stream/web';
import { randomBytes } from 'node:crypto';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { PartsReader, writeFailure } from '../transfer/file-parts.ts';
import { isCutShort, type SealedKind } from './seal-cut.ts';

export interface ParcelSeal {
  /** Size in bytes of the encrypted file for a content of that size. */
  sizeOf(plainBytes: number): number;
  /** The encrypted bytes of these pieces; call once. A failure of the pieces is passed on. */
  around(pieces: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

export async function openSeal(encrypter: Encrypter): Promise<ParcelSeal> {
  let start: (pieces: AsyncIterator<Uint8Array>) => void = () => undefined;
  const started = new Promise<AsyncIterator<Uint8Array>>((resolve) => (start = resolve));
  // age says how much it adds only for a stream, and reads from that stream at once. So the stream
  // gives nothing before there is something to encrypt.
  const plain = new ReadableStream<Uint8Array>({
    pull: async (to) => {
      const next = await (await started).next();
      if (next.done === true) to.close();
      else to.enqueue(new Uint8Array(next.value));
    },
    cancel: async () => void (await (await started).return?.()),
  });
  const sealed = await encrypter.encrypt(plain);
  return {
    sizeOf: (plainBytes) => sealed.size(plainBytes),
    around: (pieces) => {
      start(pieces[Symbol.asyncIterator]());
      return sealed;
    },
  };
}

const MAGIC = 'age-encryption.org/v1\n';

/** Checks the first bytes of a file; the text form of age (armor) is not accepted. */
export async function isSealed(file: PartsReader): Promise<boolean> {
  const start = await file.read(0, MAGIC.length);
  return Buffer.from(start).toString('latin1') === MAGIC;
}

/**
 * Opens a sealed file of any size with the memory of a piece of it.
 * @param into folder on the disk that the bundles go to; made when it is not there
 * @throws DroverError PARCEL_NOT_FOR_US, PARCEL_TRUNCATED, PARCEL_DAMAGED, DISK_FULL,
 *   FILE_UNREADABLE
 */
export async function unseal(
  file: PartsReader,
  decrypter: Decrypter,
  { into, ...what }: SealedKind & { readonly into: string },
): Promise<PartsReader> {
  const folder = await roomFor(file.bytes, into);
  const path = join(folder, `.drover-${randomBytes(6).toString('hex')}`);
  const plain = await open(path, 'wx+', 0o600).catch((cause: unknown) => {
    throw writeFailure(path, cause);
  });
  try {
    await unlink(path);
    let bytes = 0;
    for await (const piece of decrypted(file, decrypter)) {
      await plain.appendFile(piece).catch((cause: unknown) => {
        throw writeFailure(path, cause);
      });
      bytes += piece.byteLength;
    }
    return PartsReader.of(file.path, plain, bytes);
  } catch (error) {
    await plain.close();
    const isDamaged = error instanceof DroverError && error.code === 'PARCEL_DAMAGED';
    if (!isDamaged || !(await isCutShort(file, decrypter, what))) throw error;
    const why = `it ends too early (got ${file.bytes} bytes)`;
    throw new DroverError('PARCEL_TRUNCATED', `open the seal: ${why}`, { cause: error });
  }
}

/** @throws DroverError DISK_FULL, FILE_UNREADABLE */
async function roomFor(bytes: number, into: string): Promise<string> {
  const folder = dirname(join(into, '.'));
  try {
    await mkdir(folder, { recursive: true });
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize >= bytes) return folder;
    const sizes = `got ${formatBytes(bavail * bsize)} free, want ${formatBytes(bytes)}`;
    throw new DroverError('DISK_FULL', `open the seal in ${folder}: no room (${sizes})`, {
      hint: `free space in ${folder}, or give --into on another disk`,
    });
  } catch (cause) {
    throw writeFailure(folder, cause);
  }
}

async function* decrypted(file: PartsReader, decrypter: Decrypter): AsyncGenerator<Uint8Array> {
  let at = 0;
  const sealed = new ReadableStream<Uint8Array>({
    pull: async (to) => {
      const piece = await file.read(at, LIMITS.chunkBytesMax);
      at += piece.byteLength;
      if (piece.byteLength === 0) to.close();
      else to.enqueue(piece);
    },
  });
  try {
    const plain = await decrypter.decrypt(sealed);
    yield* plain as unknown as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw unsealFailure(cause);
  }
}

/** age describes its errors only by text. */
function unsealFailure(cause: unknown): DroverError {
  if (cause instanceof DroverError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  if (/no identity matched/.test(why)) {
    return new DroverError('PARCEL_NOT_FOR_US', 'open the seal: it is not for this identity', {
      cause,
    });
  }
  return new DroverError('PARCEL_DAMAGED', `open the seal: ${why}`, { cause });
}
