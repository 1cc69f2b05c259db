/**
 * Numbers of any size in as few bytes as they need: seven bits each, least significant first, the
 * high bit set on all but the last (LEB128). Sizes of tars go beyond 32 bits, so no bit operators.
 * Sans-I/O.
 */

const GROUP = 128;
/** 2^53 needs eight groups of seven bits. */
export const VARINT_GROUPS_MAX = 8;

export class VarintWriter {
  readonly #bytes: number[] = [];

  /** @param value a safe integer from 0 */
  put(value: number): void {
    let left = value;
    while (left >= GROUP) {
      this.#bytes.push((left % GROUP) + GROUP);
      left = Math.floor(left / GROUP);
    }
    this.#bytes.push(left);
  }

  /** Small numbers of either sign stay small: 0, -1, 1, -2, 2 are 0, 1, 2, 3, 4. */
  putSigned(value: number): void {
    this.put(value < 0 ? -value * 2 - 1 : value * 2);
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export class VarintReader {
  readonly #bytes: Uint8Array;
  readonly #bad: () => Error;
  #at = 0;

  /** @param bad what is thrown for a number that is cut short or too large */
  constructor(bytes: Uint8Array, bad: () => Error) {
    this.#bytes = bytes;
    this.#bad = bad;
  }

  /** Bytes that were read. */
  get taken(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  take(): number {
    let value = 0;
    let scale = 1;
    for (let group = 0; group < VARINT_GROUPS_MAX; group += 1) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw this.#bad();
      this.#at += 1;
      value += (byte % GROUP) * scale;
      scale *= GROUP;
      if (byte >= GROUP) continue;
      if (!Number.isSafeInteger(value)) throw this.#bad();
      return value;
    }
    throw this.#bad();
  }

  takeSigned(): number {
    const value = this.take();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
