/** Bytes and numbers that are collected one by one, in memory that grows by doubling. Sans-I/O. */

const START_BYTES = 64 * 1024;
const GROUP = 128;

export class ByteSink {
  #bytes = new Uint8Array(START_BYTES);
  #filled = 0;

  byte(value: number): void {
    if (this.#filled === this.#bytes.byteLength) this.#grow(1);
    this.#bytes[this.#filled] = value;
    this.#filled += 1;
  }

  add(piece: Uint8Array): void {
    if (this.#filled + piece.byteLength > this.#bytes.byteLength) this.#grow(piece.byteLength);
    this.#bytes.set(piece, this.#filled);
    this.#filled += piece.byteLength;
  }

  /** As `VarintWriter.put`. @param value a safe integer from 0 */
  number(value: number): void {
    let left = value;
    while (left >= GROUP) {
      this.byte((left % GROUP) + GROUP);
      left = Math.floor(left / GROUP);
    }
    this.byte(left);
  }

  signed(value: number): void {
    this.number(value < 0 ? -value * 2 - 1 : value * 2);
  }

  /** Valid until more is added. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#filled);
  }

  #grow(least: number): void {
    const bytes = new Uint8Array(Math.max(this.#bytes.byteLength * 2, this.#filled + least));
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}
