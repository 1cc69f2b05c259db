/**
 * Splits the bytes of an export into lines. A line that is longer than any record, and bytes that
 * are no UTF-8, are refused: nothing is guessed into a record. The last line may lack its end, as
 * when a copy was cut off; the check of the chain then says whether it is whole. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { concatBytes } from '../../shared/crypto/bytes.ts';

const LINE_END = 0x0a;

export class LineSplitter {
  readonly #bytesMax: number;
  #rest: Uint8Array = new Uint8Array();
  #lines = 0;

  /** @param bytesMax of one line */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /**
   * @returns the lines that ended in this piece
   * @throws DroverError AUDIT_BROKEN
   */
  *take(piece: Uint8Array): Generator<string> {
    let from = 0;
    for (let end = piece.indexOf(LINE_END); end !== -1; end = piece.indexOf(LINE_END, from)) {
      yield this.#text(concatBytes(this.#rest, piece.subarray(from, end)));
      this.#rest = new Uint8Array();
      from = end + 1;
    }
    this.#rest = concatBytes(this.#rest, piece.subarray(from));
    if (this.#rest.byteLength > this.#bytesMax) throw this.#refused('is longer than any entry');
  }

  /** @returns the line without an end, if there is one */
  *end(): Generator<string> {
    if (this.#rest.byteLength > 0) yield this.#text(this.#rest);
  }

  #text(bytes: Uint8Array): string {
    if (bytes.byteLength > this.#bytesMax) throw this.#refused('is longer than any entry');
    this.#lines += 1;
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.#refused('is no text');
    }
  }

  #refused(why: string): DroverError {
    return new DroverError('AUDIT_BROKEN', `verify audit chain: line ${this.#lines + 1} ${why}`);
  }
}
