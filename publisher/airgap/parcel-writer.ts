/**
 * Writes a parcel: index, SHA256SUMS, then each member as a stream. A member is hashed again while
 * it is written, so that a file which changed since the planning fails here and not on a robot. The
 * parcel gets its name only when all of it is on the disk.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import {
  parcelIndexFile,
  parcelBytes,
  SUMS_FILE,
  sumsOf,
  type ParcelMember,
  type ParcelKind,
} from './parcel.ts';
import { END_BYTES, paddingOf, tarHeader } from '../bundle/tar-block.ts';
import { assertDiskRoom, PartsWriter } from '../transfer/file-parts.ts';
import type { ParcelSeal } from './parcel-seal.ts';
import type { Meter } from '../bundle/progress-meter.ts';

export interface Content {
  readonly member: ParcelMember;
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface ParcelJob {
  readonly out: string;
  /** Largest size of one part in bytes; null for one file. */
  readonly split: number | null;
  readonly kind: ParcelKind;
  /** The bytes of the index, signed or not. */
  readonly index: Uint8Array;
  readonly contents: readonly Content[];
  /** Null for a file that is not encrypted. */
  readonly seal: ParcelSeal | null;
  /** Computes the size and writes nothing. */
  readonly dryRun: boolean;
  readonly meter: (bytesTotal: number) => Meter;
}

export interface WrittenParcel {
  /** Names of the files, one unless it was split; in a dry run the names that they would have. */
  readonly parts: readonly string[];
  /** Size of all parts on the disk. */
  readonly bytes: number;
}

/**
 * @throws DroverError FILE_EXISTS, DISK_FULL, FILE_TOO_LARGE, FILE_UNREADABLE,
 *   PAYLOAD_HASH_MISMATCH; no file is left behind then
 */
export async function writeParcel(job: ParcelJob): Promise<WrittenParcel> {
  const members = job.contents.map(({ member }) => member);
  const plainBytes = parcelBytes(job.kind, job.index, members);
  const bytes = job.seal?.sizeOf(plainBytes) ?? plainBytes;
  if (job.dryRun) return { parts: [job.out], bytes };
  await assertDiskRoom(job.out, bytes, job.split);
  const writer = new PartsWriter(job.out, job.split);
  const meter = job.meter(plainBytes);
  try {
    const pieces = piecesOf(job, members, meter);
    for await (const piece of job.seal?.around(pieces) ?? pieces) await writer.write(piece);
    return { parts: await writer.finish(), bytes };
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    meter.stop();
  }
}

async function* piecesOf(
  { kind, index, contents }: ParcelJob,
  members: readonly ParcelMember[],
  meter: Meter,
): AsyncGenerator<Uint8Array> {
  yield* small(parcelIndexFile(kind), index);
  yield* small(SUMS_FILE, sumsOf(kind, index, members));
  for (const content of contents) yield* contentPieces(content, meter);
  yield new Uint8Array(END_BYTES);
}

function* small(name: string, bytes: Uint8Array): Generator<Uint8Array> {
  yield tarHeader(name, bytes.byteLength);
  yield bytes;
  yield new Uint8Array(paddingOf(bytes.byteLength));
}

async function* contentPieces(content: Content, meter: Meter): AsyncGenerator<Uint8Array> {
  const { name, size, sha256 } = content.member;
  const hash = new Sha256Stream();
  yield tarHeader(name, size);
  for await (const piece of content.read()) {
    hash.update(piece);
    if (hash.bytes > size) break;
    yield piece;
    meter.add(piece.byteLength);
  }
  if (hash.bytes !== size || hash.digestHex() !== sha256) {
    throw new DroverError(
      'PAYLOAD_HASH_MISMATCH',
      `write ${name}: it changed while it was written`,
    );
  }
  yield new Uint8Array(paddingOf(size));
}
