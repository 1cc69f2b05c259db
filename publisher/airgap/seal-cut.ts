/**
 * Tells whether a sealed file was cut short or has wrong bytes. age reports both in the same way: a
 * piece does not open. The index in the seal states the length of the file, and that length shows
 * the difference. Pieces are read here without their authentication, so their content is used for
 * nothing else.
 *
 * https://age-encryption.org/v1: header, 16 bytes of nonce, then pieces of 64 KiB, each with a tag
 * of 16 bytes, encrypted with a counter and a mark on the last one.
 */

import type { Decrypter } from 'age-encryption';
import { createDecipheriv, hkdfSync } from 'node:crypto';
import { bytesEqual, concatBytes } from '../../shared/crypto/bytes.ts';
import { nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { KeyRole } from '../../shared/formats/trust.ts';
import { BLOCK_BYTES, sizeInHeader } from '../bundle/tar-block.ts';
import type { PartsReader } from '../transfer/file-parts.ts';
import {
  headedFile,
  openIndex,
  parcelBytes,
  parcelIndexFile,
  SUMS_FILE,
  sumsOf,
  tarBytes,
  type ParcelKind,
} from './parcel.ts';

const PIECE_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const SEALED_PIECE_BYTES = PIECE_BYTES + TAG_BYTES;
const NONCE_BYTES = 16;
/** The line that ends a header. */
const MAC_LINE = /^--- [A-Za-z0-9+/]{43}\n/m;

/** Content of a sealed file. */
export interface SealedKind {
  readonly kind: ParcelKind;
  /** Role whose signature of the index is valid. */
  readonly role: KeyRole;
}

/** @returns true when the file ends before it should; false when something else is wrong with it */
export async function isCutShort(
  file: PartsReader,
  decrypter: Decrypter,
  what: SealedKind,
): Promise<boolean> {
  const start = Buffer.from(await file.read(0, LIMITS.sealHeaderBytesMax)).toString('latin1');
  const mac = MAC_LINE.exec(start);
  // A header that was cut has only text; a complete header is followed by other bytes.
  if (!mac) return start.length === file.bytes && /^[\x20-\x7e\n]*$/.test(start);
  const payloadAt = mac.index + mac[0].length + NONCE_BYTES;
  if (file.bytes < payloadAt + TAG_BYTES) return true;
  const header = Buffer.from(start.slice(0, mac.index + mac[0].length), 'latin1');
  const fileKey = await nullIfAny(decrypter.decryptHeader(header));
  if (!fileKey) return false;
  const nonce = await file.read(payloadAt - NONCE_BYTES, NONCE_BYTES);
  const key = Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
  return await new Pieces(file, payloadAt, key).areCut(what);
}

/** age throws plain errors, all of which mean that the header is not whole. */
function nullIfAny<T>(work: Promise<T>): Promise<T | null> {
  return work.catch(() => null); // what it means is said above
}

class Pieces {
  readonly #file: PartsReader;
  readonly #start: number;
  readonly #key: Buffer;
  readonly #bytes: number;
  readonly #last: number;

  constructor(file: PartsReader, start: number, key: Buffer) {
    this.#file = file;
    this.#start = start;
    this.#key = key;
    this.#bytes = file.bytes - start;
    this.#last = Math.max(0, Math.ceil(this.#bytes / SEALED_PIECE_BYTES) - 1);
  }

  async areCut(what: SealedKind): Promise<boolean> {
    const end = await this.#sealed(this.#last);
    if (this.#opens(end, { at: this.#last, isLast: true })) return false;
    if (this.#opens(end, { at: this.#last, isLast: false })) return true;
    // It is not known whether the piece at the end was marked as the last one. Both are tried: only
    // the right one decrypts to a parcel.
    for (const isLast of [false, true]) {
      const is = await this.#lengthBy(what, isLast);
      if (is !== 'no parcel') return is === 'cut';
    }
    return false;
  }

  /** Compares the length of the file with the length that the index states. */
  async #lengthBy(
    { kind, role }: SealedKind,
    isLast: boolean,
  ): Promise<'cut' | 'whole' | 'no parcel'> {
    const header = await this.#plain(BLOCK_BYTES, isLast);
    if (header.byteLength < BLOCK_BYTES) return 'cut';
    const size = sizeInHeader(header, parcelIndexFile(kind));
    if (size === null || size > LIMITS.parcelIndexBytesMax * 2) return 'no parcel';
    const start = await this.#plain(tarBytes(size), isLast);
    if (start.byteLength < tarBytes(size)) return 'cut';
    const index = start.subarray(BLOCK_BYTES, BLOCK_BYTES + size);
    const opened = nullIfRefused(() => openIndex(index, role));
    if (!opened) return 'no parcel';
    // An index without a signature is verified by its hash, which comes next.
    const sums = headedFile(SUMS_FILE, sumsOf(kind, index, opened.index.members));
    const more = (await this.#plain(tarBytes(size) + sums.byteLength, isLast)).subarray(
      start.byteLength,
    );
    if (!bytesEqual(more, sums.subarray(0, more.byteLength))) return 'no parcel';
    const plainBytes = parcelBytes(kind, index, opened.index.members);
    const pieces = Math.ceil(plainBytes / PIECE_BYTES);
    return this.#bytes < plainBytes + pieces * TAG_BYTES ? 'cut' : 'whole';
  }

  /** The first bytes of the content, as far as there are so many. */
  async #plain(bytes: number, isLast: boolean): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at <= this.#last && at * PIECE_BYTES < bytes; at += 1) {
      const sealed = (await this.#sealed(at)).subarray(0, PIECE_BYTES);
      pieces.push(this.#decipher({ at, isLast: isLast && at === this.#last }).update(sealed));
    }
    return concatBytes(...pieces).subarray(0, bytes);
  }

  #sealed(at: number): Promise<Uint8Array> {
    return this.#file.read(this.#start + at * SEALED_PIECE_BYTES, SEALED_PIECE_BYTES);
  }

  #opens(sealed: Uint8Array, place: { at: number; isLast: boolean }): boolean {
    if (sealed.byteLength < TAG_BYTES) return false;
    const decipher = this.#decipher(place);
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    decipher.update(sealed.subarray(0, -TAG_BYTES));
    try {
      decipher.final();
      return true;
    } catch {
      return false; // its tag does not fit
    }
  }

  #decipher({ at, isLast }: { at: number; isLast: boolean }) {
    const nonce = Buffer.alloc(12);
    nonce.writeUIntBE(at, 5, 6);
    nonce[11] = isLast ? 1 : 0;
    return createDecipheriv('chacha20-poly1305', this.#key, nonce, { authTagLength: TAG_BYTES });
  }
}
