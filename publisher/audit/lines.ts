/**
 * Splits the bytes of an export into lines. A line that is longer than any record, and bytes that
 * are no UTF-8, are refused: nothing is guessed into a record. Line ends of another system and a
 * byte order mark have a message of their own, since a copy makes them. The last line may lack its
 * end, as when a copy was cut off; the check of the chain then says whether it is whole. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { concatBytes } from '../../shared/crypto/bytes.ts';

const LINE_END = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** Byte order marks of UTF-8 and UTF-16, as an editor or a shell writes them. */
const BYTE_ORDER_MARKS = [
  [0xef, 0xbb, 0xbf],
  [0xff, 0xfe],
  [0xfe, 0xff],
] as const;
/** The file was written again by a program; whether entries differ shows only without that. */
const COPIED_HINT =
  'a copy changed the file: git with autocrlf (put "*.jsonl -text" into .gitattributes), an editor or a shell on Windows: verify the file as it was written, or export again';

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
    if (this.#lines === 0 && hasByteOrderMark(bytes)) {
      throw this.#refused('begins with a byte order mark, which no export has', COPIED_HINT);
    }
    if (bytes.at(-1) === CARRIAGE_RETURN) {
      throw this.#refused('ends with CR LF: its line ends were changed', COPIED_HINT);
    }
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
      this.#lines += 1;
      return text;
    } catch {
      throw this.#refused('is no text');
    }
  }

  #refused(why: string, hint?: string): DroverError {
    const message = `verify audit chain: line ${this.#lines + 1} ${why}`;
    return new DroverError('AUDIT_BROKEN', message, hint === undefined ? {} : { hint });
  }
}

const hasByteOrderMark = (bytes: Uint8Array): boolean =>
  BYTE_ORDER_MARKS.some((mark) => mark.every((byte, at) => bytes[at] === byte));
