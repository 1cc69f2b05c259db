/**
 * Writes a parcel: index, SHA256SUMS, then each member as a stream. What a member holds is hashed
 * once more while it is written, so that a file that changed since it was planned ends the writing
 * and not a robot's patience. Nothing appears under the name before all of it is on the disk.
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
import type { Meter } from '../transfer/progress-meter.ts';

export interface Content {
  readonly member: ParcelMember;
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface ParcelJob {
  readonly out: string;
  /** Bytes of one part at most; null for one file. */
  readonly split: number | null;
  readonly kind: ParcelKind;
  /** As it stands in the file, signed or not. */
  readonly index: Uint8Array;
  readonly contents: readonly Content[];
  readonly meter: (bytesTotal: number) => Meter;
}

/**
 * @returns the names of the parts, one for a file that was not split
 * @throws DroverError FILE_EXISTS, DISK_FULL, FILE_TOO_LARGE, FILE_UNREADABLE,
 *   PAYLOAD_HASH_MISMATCH; nothing is left behind then
 */
export async function writeParcel(job: ParcelJob): Promise<string[]> {
  const members = job.contents.map(({ member }) => member);
  const bytesTotal = parcelBytes(job.kind, job.index, members);
  await assertDiskRoom(job.out, bytesTotal, job.split);
  const writer = new PartsWriter(job.out, job.split);
  const meter = job.meter(bytesTotal);
  try {
    await writeSmall(writer, parcelIndexFile(job.kind), job.index);
    await writeSmall(writer, SUMS_FILE, sumsOf(job.kind, job.index, members));
    for (const content of job.contents) await writeContent(writer, content, meter);
    await writer.write(new Uint8Array(END_BYTES));
    return await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    meter.stop();
  }
}

async function writeSmall(writer: PartsWriter, name: string, bytes: Uint8Array): Promise<void> {
  await writer.write(tarHeader(name, bytes.byteLength));
  await writer.write(bytes);
  await writer.write(new Uint8Array(paddingOf(bytes.byteLength)));
}

async function writeContent(writer: PartsWriter, content: Content, meter: Meter): Promise<void> {
  const { name, size, sha256 } = content.member;
  const hash = new Sha256Stream();
  await writer.write(tarHeader(name, size));
  for await (const piece of content.read()) {
    hash.update(piece);
    if (hash.bytes > size) break;
    await writer.write(piece);
    meter.add(piece.byteLength);
  }
  if (hash.bytes !== size || hash.digestHex() !== sha256) {
    throw new DroverError(
      'PAYLOAD_HASH_MISMATCH',
      `write ${name}: it changed while it was written`,
    );
  }
  await writer.write(new Uint8Array(paddingOf(size)));
}
