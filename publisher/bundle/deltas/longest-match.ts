/**
 * Finds where the next bytes of a target are longest in a base, by a binary search in the sorted
 * suffixes of the base. Of equal matches the one nearest to a wanted place is taken: neighbouring
 * text then leads to neighbouring places, and their distances pack well. Sans-I/O.
 */

import { suffixArray } from './suffix-array.ts';

/** Equal matches that are compared on either side. */
const NEIGHBOURS = 64;
/** A longer match is long enough to pay for any distance. */
const NEAR_BYTES_MAX = 4096;

export class LongestMatch {
  readonly #base: Uint8Array;
  readonly #target: Uint8Array;
  readonly #order: Int32Array;
  readonly #starts: Int32Array;
  /** Where the last match is in the base. */
  place = 0;
  #nth = 0;

  constructor(base: Uint8Array, target: Uint8Array) {
    this.#base = base;
    this.#target = target;
    this.#order = suffixArray(base);
    this.#starts = startsOfPairs(base);
  }

  /** Length of the longest match of the target from there on; below 2 bytes it is 0. */
  find(at: number): number {
    const [base, target, order] = [this.#base, this.#target, this.#order];
    const most = target.length - at;
    if (most < 2) return 0;
    const pair = ((target[at] as number) << 8) | (target[at + 1] as number);
    let low = this.#starts[pair] as number;
    let high = (this.#starts[pair + 1] as number) - 1;
    let [lowEqual, highEqual, best] = [0, 0, 0];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const place = order[middle] as number;
      const end = Math.min(base.length - place, most);
      let equal = lowEqual < highEqual ? lowEqual : highEqual;
      while (equal < end && base[place + equal] === target[at + equal]) equal += 1;
      if (equal > best) [best, this.place, this.#nth] = [equal, place, middle];
      if (equal === most) break;
      const isBeyond =
        place + equal < base.length &&
        (base[place + equal] as number) > (target[at + equal] as number);
      if (isBeyond) [high, highEqual] = [middle - 1, equal];
      else [low, lowEqual] = [middle + 1, equal];
    }
    return best < 2 ? 0 : best;
  }

  /** Moves `place` to an equal match of that length that is nearer to the wanted place. */
  settleNear(at: number, length: number, wanted: number): void {
    if (length === 0 || length > NEAR_BYTES_MAX) return;
    let nearest = Math.abs(this.place - wanted);
    for (const step of [-1, 1]) {
      for (let nth = this.#nth + step, seen = 0; seen < NEIGHBOURS; nth += step, seen += 1) {
        const place = this.#order[nth];
        if (place === undefined || !this.#isEqual(place, at, length)) break;
        const distance = Math.abs(place - wanted);
        if (distance >= nearest) continue;
        nearest = distance;
        this.place = place;
      }
    }
  }

  #isEqual(place: number, at: number, length: number): boolean {
    if (place + length > this.#base.length) return false;
    for (let nth = 0; nth < length; nth += 1) {
      if (this.#base[place + nth] !== this.#target[at + nth]) return false;
    }
    return true;
  }
}

/**
 * For each two bytes the number of suffixes that are less than them. The suffix of one byte, the
 * last, is less than any pair with that first byte.
 */
function startsOfPairs(base: Uint8Array): Int32Array {
  const starts = new Int32Array(0x10001);
  for (let at = 0; at + 1 < base.length; at += 1) {
    const pair = ((base[at] as number) << 8) | (base[at + 1] as number);
    starts[pair + 1] = (starts[pair + 1] as number) + 1;
  }
  for (let pair = 1; pair < starts.length; pair += 1) {
    starts[pair] = (starts[pair] as number) + (starts[pair - 1] as number);
  }
  if (base.length === 0) return starts;
  for (let pair = (base[base.length - 1] as number) << 8; pair < starts.length; pair += 1) {
    starts[pair] = (starts[pair] as number) + 1;
  }
  return starts;
}
