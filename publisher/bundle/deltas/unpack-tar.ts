/**
 * The tar inside a payload.tar.gz, as a stream: hashed, and written to a file where one is wanted.
 * A tar that is not compressed is taken as it is.
 */

import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { PassThrough, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { errnoOf, wordsOfErrno } from '../../../shared/base/errno.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { Sha256Stream } from '../../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

export interface HashedBytes {
  readonly sha256: Sha256Hex;
  readonly bytes: number;
}

/**
 * @param out a file that does not exist yet; null to hash only
 * @throws DroverError ARCHIVE_CORRUPT, ARCHIVE_TOO_LARGE, FILE_UNREADABLE, DISK_FULL
 */
export async function unpackTar(path: string, out: string | null): Promise<HashedBytes> {
  const hash = new Sha256Stream();
  try {
    const unpacker = (await isGzip(path)) ? createGunzip() : new PassThrough();
    await pipeline(createReadStream(path), unpacker, hashedInto(hash, path), sinkOf(out));
  } catch (cause) {
    throw unpackFailure(path, cause);
  }
  return { sha256: hash.digestHex(), bytes: hash.bytes };
}

/** A part of a pipeline that hashes what passes, within the bound of what robots unpack. */
export function hashedInto(hash: Sha256Stream, path: string) {
  return async function* hashed(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      hash.update(piece);
      assertTarBytes(hash.bytes, path);
      yield piece;
    }
  };
}

/** @param out a file that does not exist yet; null to hash only */
export const sinkOf = (out: string | null): Writable =>
  out === null ? new Nowhere() : createWriteStream(out, { flags: 'wx' });

class Nowhere extends Writable {
  override _write(_piece: unknown, _encoding: string, done: () => void): void {
    done();
  }
}

async function isGzip(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const magic = new Uint8Array(2);
    await handle.read(magic, 0, 2, 0);
    return magic[0] === 0x1f && magic[1] === 0x8b;
  } finally {
    await handle.close();
  }
}

function assertTarBytes(bytes: number, path: string): void {
  if (bytes <= LIMITS.archiveBytesMax) return;
  const why = `more than ${LIMITS.archiveBytesMax} bytes`;
  throw new DroverError('ARCHIVE_TOO_LARGE', `unpack ${path}: ${why}`);
}

export function unpackFailure(path: string, cause: unknown): DroverError {
  if (cause instanceof DroverError) return cause;
  const why = wordsOfErrno(cause);
  const code = errnoOf(cause);
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  if (isFull) return new DroverError('DISK_FULL', `unpack ${path}: ${why}`, { cause });
  const isGzipError = code.startsWith('Z_') || code === 'ERR_STREAM_PREMATURE_CLOSE';
  return new DroverError(
    isGzipError ? 'ARCHIVE_CORRUPT' : 'FILE_UNREADABLE',
    `unpack ${path}: ${why}`,
    {
      cause,
    },
  );
}
