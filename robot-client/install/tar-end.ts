/**
 * Finds the end of a tar as GNU tar does: two zero blocks in the place of a header. Bytes behind
 * them are not part of the archive. The tar reader itself skips zero blocks and reads on, so
 * without this, bytes that `tar -t` does not list could be unpacked on a robot.
 * The stream is fed ahead of the reader; only runs of zero blocks behind the newest entry are kept.
 * Sans-I/O.
 */

const BLOCK_BYTES = 512;
const END_BLOCKS = 2;

interface ZeroRun {
  readonly fromByte: number;
  toByte: number;
}

export class TarEnd {
  #atByte = 0;
  #blockIsZero = true;
  #nextHeaderAtByte = 0;
  #runs: ZeroRun[] = [];

  /** True when the archive ended behind the newest entry. */
  get isReached(): boolean {
    return this.#zeroBytes() >= END_BLOCKS * BLOCK_BYTES;
  }

  /** True after at least one zero block: a stream that ends without one is truncated. */
  get isMarked(): boolean {
    return this.#zeroBytes() >= BLOCK_BYTES;
  }

  /** Records an entry whose body of `bytes` starts at `bodyAtByte` of the stream. */
  entry(bodyAtByte: number, bytes: number): void {
    this.#nextHeaderAtByte = bodyAtByte + Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
    this.#runs = this.#runs.filter((run) => run.toByte > this.#nextHeaderAtByte);
  }

  /** The next bytes of the stream, in pieces of any size. */
  feed(piece: Uint8Array): void {
    let at = 0;
    while (at < piece.byteLength) {
      const inBody = this.#nextHeaderAtByte - (this.#atByte + at);
      at = inBody > 0 ? Math.min(at + inBody, piece.byteLength) : this.#scanBlock(piece, at);
    }
    this.#atByte += piece.byteLength;
  }

  /** @returns where in the piece the block ends, or the piece */
  #scanBlock(piece: Uint8Array, at: number): number {
    const inBlock = (this.#atByte + at) % BLOCK_BYTES;
    if (inBlock === 0) this.#blockIsZero = true;
    const stop = Math.min(at + BLOCK_BYTES - inBlock, piece.byteLength);
    for (let i = at; this.#blockIsZero && i < stop; i += 1) this.#blockIsZero = piece[i] === 0;
    const isWhole = (this.#atByte + stop) % BLOCK_BYTES === 0;
    if (isWhole && this.#blockIsZero) this.#record(this.#atByte + stop);
    return stop;
  }

  #record(toByte: number): void {
    const last = this.#runs.at(-1);
    if (last?.toByte === toByte - BLOCK_BYTES) last.toByte = toByte;
    else this.#runs.push({ fromByte: toByte - BLOCK_BYTES, toByte });
  }

  #zeroBytes(): number {
    const from = this.#nextHeaderAtByte;
    const run = this.#runs.find(({ fromByte, toByte }) => fromByte <= from && toByte > from);
    return run ? run.toByte - from : 0;
  }
}
