/**
 * Picks places in a stream by their content, not by their position: equal runs of bytes are picked
 * in the same way wherever they moved. A place is picked when a rolling hash of the 32 bytes before
 * it starts with enough zeroes; a second hash of the same bytes is its key. Sans-I/O.
 */

/** Two tables of 256 numbers that never change: equal inputs must give equal deltas for ever. */
function gearTable(seed: number): Int32Array {
  let state = seed;
  return Int32Array.from({ length: 256 }, () => {
    // mulberry32: small, and good enough to spread 256 numbers.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return mixed ^ (mixed >>> 14);
  });
}

const PICK = gearTable(1);
const KEY = gearTable(2);
const WINDOW_BYTES = 32;

/** A hash after nothing but zeroes, for a whole window or more. */
function afterZeroes(table: Int32Array): number {
  let hash = 0;
  for (let nth = 0; nth < WINDOW_BYTES; nth += 1) hash = ((hash << 1) + (table[0] as number)) | 0;
  return hash;
}
const ZERO_PICK = afterZeroes(PICK);
const ZERO_KEY = afterZeroes(KEY);

export class Gear {
  readonly #shift: number;
  #pick = 0;
  #key = 0;
  #atByte = 0;
  #fedBytes = 0;
  #lastKey = 0;

  /** @param zeroBits one place in 2^zeroBits bytes is picked on average */
  constructor(zeroBits: number) {
    this.#shift = 32 - zeroBits;
  }

  /** The stream continues elsewhere: bytes before that place do not count. */
  jump(atByte: number): void {
    this.#pick = 0;
    this.#key = 0;
    this.#atByte = atByte;
    this.#fedBytes = 0;
    this.#lastKey = 0;
  }

  /**
   * @param onPlace called with the key and the end of the 32 bytes; `rarity` is how many zeroes
   *   there are, so that a coarser choice is part of each finer one
   */
  feed(piece: Uint8Array, onPlace: (key: number, atByte: number, rarity: number) => void): void {
    let [pick, key] = [this.#pick, this.#key];
    // System images are mostly zeroes: in such a run nothing changes and nothing is picked.
    if (pick === ZERO_PICK && key === ZERO_KEY && isZero(piece)) {
      this.#atByte += piece.byteLength;
      this.#fedBytes += piece.byteLength;
      return;
    }
    const skip = Math.max(0, WINDOW_BYTES - 1 - this.#fedBytes);
    for (let i = 0; i < piece.byteLength; i += 1) {
      const byte = piece[i] as number;
      pick = ((pick << 1) + (PICK[byte] as number)) | 0;
      key = ((key << 1) + (KEY[byte] as number)) | 0;
      if (pick >>> this.#shift !== 0 || i < skip) continue;
      // A run of one byte would be picked at each of its bytes.
      if (key !== this.#lastKey) onPlace(key >>> 0, this.#atByte + i + 1, Math.clz32(pick));
      this.#lastKey = key;
    }
    this.#pick = pick;
    this.#key = key;
    this.#atByte += piece.byteLength;
    this.#fedBytes += piece.byteLength;
  }
}

/** How rare places must be for about `placesMax` of them in so many bytes. */
export function zeroBitsFor(bytes: number, placesMax: number, least: number): number {
  return Math.max(least, Math.ceil(Math.log2(Math.max(1, bytes / placesMax))));
}

const ZEROES = new Uint8Array(64 * 1024);

/** Compares with memory that is zero, which is many times faster than a loop over the bytes. */
export function isZero(piece: Uint8Array): boolean {
  for (let at = 0; at < piece.byteLength; at += ZEROES.byteLength) {
    const part = piece.subarray(at, at + ZEROES.byteLength);
    if (Buffer.compare(part, ZEROES.subarray(0, part.byteLength)) !== 0) return false;
  }
  return true;
}
