/**
 * The recipe of a release: how to make the tar that it came from out of its files. It holds every
 * byte of the tar that is not the body of a file (headers, padding, the end), and for each body the
 * path of the file that holds it now. So a robot can patch from the release that it runs without
 * keeping the tar beside it. Nothing here is trusted later: the tar that is made is hashed first.
 *
 * A recipe is a mark, records, and the SHA-256 of all before. A record is the length of a literal,
 * the literal, the length of a path, the path, and the length of the body (varints, shared/varint).
 * Pure: bytes in, bytes out.
 * Sans-I/O.
 */

import { concatBytes, utf8 } from '../../shared/crypto/bytes.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { VarintWriter } from '../../shared/base/varint.ts';

export const RECIPE_MARK = utf8('drover-recipe 1\n');
export const RECIPE_HASH_BYTES = 32;

interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Is fed the tar as it is unpacked, a little ahead of the entries that are found in it. */
export class RecipeMaker {
  readonly #made: Uint8Array[] = [RECIPE_MARK];
  #pending: Piece[] = [];
  #pendingBytes = 0;
  #fedTo = 0;
  /** The tar up to here is in the recipe. */
  #doneTo = 0;
  #isAbandoned = false;

  /**
   * True for a tar with too many bytes between two entries: it is no base, because memory is
   * bounded.
   */
  get isAbandoned(): boolean {
    return this.#isAbandoned;
  }

  /** The next bytes of the tar. They are kept, not copied. */
  feed(bytes: Uint8Array): void {
    const at = this.#fedTo;
    this.#fedTo += bytes.byteLength;
    if (this.#fedTo <= this.#doneTo || this.#isAbandoned) return;
    this.#pending.push({ at, bytes });
    this.#pendingBytes += bytes.byteLength;
    if (this.#pendingBytes <= LIMITS.recipePendingBytesMax) return;
    this.#isAbandoned = true;
    this.#pending = [];
  }

  /** An entry whose body starts there; `path` is the file of the body, null when there is none. */
  entry(bodyAt: number, body: { path: string; bytes: number } | null): void {
    if (this.#isAbandoned) return;
    this.#record(this.#literalUpTo(bodyAt), body?.path ?? '', body?.bytes ?? 0);
    this.#doneTo = bodyAt + (body?.bytes ?? 0);
    this.#pending = this.#pending.filter((one) => one.at + one.bytes.byteLength > this.#doneTo);
    this.#pendingBytes = this.#pending.reduce((sum, one) => sum + one.bytes.byteLength, 0);
  }

  /** All has been fed: what is left belongs to no file. */
  finish(): void {
    this.#record(this.#literalUpTo(this.#fedTo), '', 0);
    this.#pending = [];
  }

  /** Bytes of the recipe since the last call. */
  take(): Uint8Array {
    return concatBytes(...this.#made.splice(0));
  }

  #literalUpTo(end: number): Uint8Array {
    const parts = this.#pending
      .filter(({ at, bytes }) => at < end && at + bytes.byteLength > this.#doneTo)
      .map(({ at, bytes }) => bytes.subarray(Math.max(0, this.#doneTo - at), end - at));
    return concatBytes(...parts);
  }

  #record(literal: Uint8Array, path: string, bodyBytes: number): void {
    const name = utf8(path);
    this.#made.push(varint(literal.byteLength), literal, varint(name.byteLength), name);
    this.#made.push(varint(bodyBytes));
  }
}

function varint(value: number): Uint8Array {
  const out = new VarintWriter();
  out.put(value);
  return out.bytes();
}
