/**
 * The system image inside a payload.tar.gz, as a stream: hashed, and written to a file where one is
 * wanted. Deltas of a system image lead from one image to the next, because a slot of a robot holds
 * the image and nothing of the tar around it.
 */

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import tar from 'tar-stream';
import { DroverError } from '../../../shared/base/errors.ts';
import { printable } from '../../../shared/base/printable.ts';
import { Sha256Stream } from '../../../shared/crypto/hash.ts';
import { IMAGE_MEMBER } from '../../../shared/formats/bundle-parts.ts';
import { hashedInto, sinkOf, unpackFailure, type HashedBytes } from './unpack-tar.ts';

/**
 * @param path a payload.tar.gz with one member `image`
 * @param out a file that does not exist yet; null to hash only
 * @throws DroverError IMAGE_INVALID, ARCHIVE_CORRUPT, ARCHIVE_TOO_LARGE, FILE_UNREADABLE, DISK_FULL
 */
export async function unpackImage(path: string, out: string | null): Promise<HashedBytes> {
  const extract = tar.extract();
  const ends = await Promise.allSettled([
    takeImage(extract, path, out),
    pipeline(createReadStream(path), createGunzip(), extract),
  ]);
  const failures = ends.flatMap((end) =>
    end.status === 'rejected' ? [end.reason as unknown] : [],
  );
  // Ending one side early ends the other with a "premature close": our own error is the one to
  // throw.
  const cause = failures.find((one) => one instanceof DroverError) ?? failures[0];
  if (cause !== undefined) throw unpackFailure(path, cause);
  const [image] = ends;
  if (image.status === 'fulfilled') return image.value;
  throw new TypeError('unpackImage: neither an image nor a failure');
}

async function takeImage(
  extract: tar.Extract,
  path: string,
  out: string | null,
): Promise<HashedBytes> {
  const invalid = (why: string): DroverError =>
    new DroverError('IMAGE_INVALID', `unpack ${path}: ${why}, want one file "${IMAGE_MEMBER}"`);
  let found: HashedBytes | null = null;
  for await (const entry of extract) {
    const { name, type } = entry.header;
    if (found !== null || type !== 'file' || name !== IMAGE_MEMBER) {
      throw invalid(`got a ${type} "${printable(name)}"`);
    }
    const hash = new Sha256Stream();
    const body = entry as AsyncIterable<Buffer>;
    await pipeline(hashedInto(hash, path)(body), sinkOf(out));
    found = { sha256: hash.digestHex(), bytes: hash.bytes };
  }
  if (found === null) throw invalid('it holds nothing');
  return found;
}

/** An image that is in no bundle, such as a copy of a partition; it is never taken for gzip. */
export async function copyImage(path: string, out: string): Promise<HashedBytes> {
  const hash = new Sha256Stream();
  try {
    await pipeline(createReadStream(path), hashedInto(hash, path), sinkOf(out));
  } catch (cause) {
    throw unpackFailure(path, cause);
  }
  return { sha256: hash.digestHex(), bytes: hash.bytes };
}
