/**
 * Reads a parcel and verifies it: its length is what the index requires, each header is exactly the
 * expected one, each member has the hash of the index, and the padding is zeroes. A large member is
 * a stream whose last piece comes before its hash is known, so nothing of it counts until the
 * stream has ended without an error.
 */

import { bytesEqual, concatBytes } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { KeyRole } from '../../shared/formats/trust.ts';
import {
  headedFile,
  parcelIndexFile,
  openIndex,
  parcelBytes,
  SUMS_FILE,
  sumsOf,
  tarBytes,
  type Authority,
  type ParcelMember,
  type ParcelIndex,
  type ParcelKind,
} from './parcel.ts';
import { BLOCK_BYTES, END_BYTES, paddingOf, sizeInHeader, tarHeader } from '../bundle/tar-block.ts';
import { PartsReader } from '../transfer/file-parts.ts';

/** [P-13.2] */
export class ParcelReader {
  readonly #file: PartsReader;
  readonly #starts: ReadonlyMap<string, number>;
  readonly index: ParcelIndex;
  readonly authority: Authority;

  private constructor(
    file: PartsReader,
    opened: { index: ParcelIndex; authority: Authority },
    starts: ReadonlyMap<string, number>,
  ) {
    this.#file = file;
    this.index = opened.index;
    this.authority = opened.authority;
    this.#starts = starts;
  }

  /**
   * @param role whose signature of the index counts
   * @throws DroverError FILE_UNREADABLE, PARCEL_INVALID, PARCEL_TRUNCATED, PARCEL_DAMAGED,
   *   ENVELOPE_*
   */
  static async open(path: string, kind: ParcelKind, role: KeyRole): Promise<ParcelReader> {
    return await ParcelReader.over(await PartsReader.open(path), kind, role);
  }

  /** Like `open`; the reader closes the file, also when this fails. */
  static async over(file: PartsReader, kind: ParcelKind, role: KeyRole): Promise<ParcelReader> {
    try {
      const indexBytes = await readIndex(file, kind);
      const opened = openIndex(indexBytes, role);
      const { members } = opened.index;
      assertLength(file, parcelBytes(kind, indexBytes, members));
      let at = tarBytes(indexBytes.byteLength);
      const sums = sumsOf(kind, indexBytes, members);
      await assertStands(file, at, headedFile(SUMS_FILE, sums));
      at += tarBytes(sums.byteLength);
      const starts = new Map<string, number>();
      for (const { name, size } of members) {
        starts.set(name, at);
        at += tarBytes(size);
      }
      await assertStands(file, at, new Uint8Array(END_BYTES));
      return new ParcelReader(file, opened, starts);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  member(name: string): ParcelMember | null {
    return this.index.members.find((one) => one.name === name) ?? null;
  }

  /** A member as a stream. @throws DroverError PARCEL_DAMAGED, PARCEL_TRUNCATED */
  async *pieces(member: ParcelMember): AsyncGenerator<Uint8Array> {
    const { name, size, sha256 } = member;
    const start = this.#starts.get(name) ?? 0;
    await assertStands(this.#file, start, tarHeader(name, size));
    const hash = new Sha256Stream();
    while (hash.bytes < size) {
      const at = start + BLOCK_BYTES + hash.bytes;
      const piece = await this.#file.read(at, Math.min(LIMITS.chunkBytesMax, size - hash.bytes));
      if (piece.byteLength === 0) throw truncated(this.#file.bytes, at);
      hash.update(piece);
      yield piece;
    }
    const got = hash.digestHex();
    if (got !== sha256) {
      const hashes = `got ${shortHash(got)}, want ${shortHash(sha256)}`;
      throw damaged(`the hash of ${name} differs (${hashes})`);
    }
    const padding = new Uint8Array(paddingOf(size));
    await assertStands(this.#file, start + BLOCK_BYTES + size, padding);
  }

  /** A member of at most a few MiB, as its index bounds it. @throws DroverError as `pieces` */
  async read(member: ParcelMember): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.pieces(member)) pieces.push(piece);
    return concatBytes(...pieces);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

const damaged = (why: string): DroverError =>
  new DroverError('PARCEL_DAMAGED', `read file: ${why}`);

function truncated(got: number, want: number): DroverError {
  const sizes = `got ${got} bytes, want ${want}`;
  return new DroverError('PARCEL_TRUNCATED', `read file: it ends too early (${sizes})`);
}

async function readIndex(file: PartsReader, kind: ParcelKind): Promise<Uint8Array> {
  const header = await file.read(0, BLOCK_BYTES);
  if (file.bytes < BLOCK_BYTES) throw truncated(file.bytes, BLOCK_BYTES);
  const size = sizeInHeader(header, parcelIndexFile(kind));
  if (size === null) {
    throw new DroverError('PARCEL_INVALID', `open file: it does not begin like a ${kind}`);
  }
  if (size > LIMITS.parcelIndexBytesMax * 2) throw damaged('its index is too large');
  const index = await file.read(BLOCK_BYTES, size);
  if (index.byteLength < size) throw truncated(file.bytes, BLOCK_BYTES + size);
  const padding = new Uint8Array(paddingOf(size));
  await assertStands(file, BLOCK_BYTES + size, padding);
  return index;
}

function assertLength(file: PartsReader, want: number): void {
  if (file.bytes < want) throw truncated(file.bytes, want);
  if (file.bytes > want) throw damaged(`it is too long (got ${file.bytes} bytes, want ${want})`);
}

async function assertStands(file: PartsReader, at: number, want: Uint8Array): Promise<void> {
  const got = await file.read(at, want.byteLength);
  if (got.byteLength < want.byteLength) throw truncated(file.bytes, at + want.byteLength);
  if (bytesEqual(got, want)) return;
  throw damaged(`other bytes than have to stand at ${at} to ${at + want.byteLength}`);
}
