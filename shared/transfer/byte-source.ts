/**
 * Reads numbers and bytes from a stream that comes in pieces; no more than one piece is held.
 * Sans-I/O.
 */

import { VARINT_GROUPS_MAX } from '../base/varint.ts';

const GROUP = 128;

export class ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #short: () => Error;
  #piece: Uint8Array = new Uint8Array();
  #at = 0;

  /** @param short what is thrown at the end of the stream, and for a number that is too large */
  constructor(pieces: AsyncIterable<Uint8Array>, short: () => Error) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#short = short;
  }

  /** Ends the stream early. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async isAtEnd(): Promise<boolean> {
    return this.#at === this.#piece.byteLength && !(await this.#advance());
  }

  /** Call when nothing of the piece is left. @throws at the end of the stream */
  async more(): Promise<void> {
    if (!(await this.#advance())) throw this.#short();
  }

  /** False at the end of the stream. */
  async #advance(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#pieces.next();
      if (done === true) return false;
      if (value.byteLength === 0) continue;
      this.#piece = value;
      this.#at = 0;
      return true;
    }
  }

  /** Null when the piece may end within it: then use `number`. */
  numberThere(): number | null {
    const first = this.#piece[this.#at];
    if (first === undefined || this.#piece.byteLength - this.#at < VARINT_GROUPS_MAX) return null;
    if (first < GROUP) {
      this.#at += 1;
      return first;
    }
    let value = 0;
    let scale = 1;
    for (let group = 0; group < VARINT_GROUPS_MAX; group += 1) {
      const byte = this.#piece[this.#at] as number;
      this.#at += 1;
      value += (byte % GROUP) * scale;
      scale *= GROUP;
      if (byte < GROUP) return this.#checked(value);
    }
    throw this.#short();
  }

  async number(): Promise<number> {
    const there = this.numberThere();
    if (there !== null) return there;
    let value = 0;
    let scale = 1;
    for (let group = 0; group < VARINT_GROUPS_MAX; group += 1) {
      while (this.#at === this.#piece.byteLength) await this.more();
      const byte = this.#piece[this.#at] as number;
      this.#at += 1;
      value += (byte % GROUP) * scale;
      scale *= GROUP;
      if (byte < GROUP) return this.#checked(value);
    }
    throw this.#short();
  }

  #checked(value: number): number {
    if (Number.isSafeInteger(value)) return value;
    throw this.#short();
  }

  async signed(): Promise<number> {
    const value = await this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  async fill(into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.byteLength;) {
      if (this.#at === this.#piece.byteLength) await this.more();
      const part = this.#piece.subarray(this.#at, this.#at + into.byteLength - done);
      into.set(part, done);
      this.#at += part.byteLength;
      done += part.byteLength;
    }
  }

  /** Adds what is there to those bytes, modulo 256; returns to how many, 0 when none are there. */
  addTo(bytes: Uint8Array, from: number, end: number): number {
    const [piece, start] = [this.#piece, this.#at];
    const count = Math.min(end - from, piece.byteLength - start);
    for (let nth = 0; nth < count; nth += 1) {
      bytes[from + nth] = (bytes[from + nth] as number) + (piece[start + nth] as number);
    }
    this.#at += count;
    return count;
  }
}
