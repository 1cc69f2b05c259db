/**
 * Plans how a target is made by adding to a base, as bsdiff does (Colin Percival 2003): rows of the
 * target that differ from a row of the base in a few bytes, and bytes that are new. A program that
 * was compiled again consists of such rows, since addresses in it moved. Sans-I/O.
 */

import { LongestMatch } from './longest-match.ts';

/** `addBytes` of the target from `at` are like the base at `from`; `newBytes` follow them. */
export interface AddRow {
  readonly at: number;
  readonly from: number;
  readonly addBytes: number;
  readonly newBytes: number;
}

/** A fuzzy end of a row: how many bytes it has, where more than half of them are equal. */
const WORTH = 2;

export class AddFinder {
  readonly #base: Uint8Array;
  readonly #target: Uint8Array;
  readonly #matches: LongestMatch;

  constructor(base: Uint8Array, target: Uint8Array) {
    this.#base = base;
    this.#target = target;
    this.#matches = new LongestMatch(base, target);
  }

  /** @param gainBytes a row ends where another place has so many more bytes that are equal */
  rows(gainBytes: number): AddRow[] {
    const rows: AddRow[] = [];
    const target = this.#target;
    let row = { at: 0, from: 0 };
    let at = 0;
    let length = 0;
    while (at < target.length) {
      const found = this.#next(at + length, row.from - row.at, gainBytes);
      ({ at, length } = found);
      if (length === found.straight && at < target.length) continue;
      if (at < target.length) this.#matches.settleNear(at, length, at + row.from - row.at);
      const { addBytes, back } = this.#ends(row, at, this.#matches.place);
      const next = { at: at - back, from: this.#matches.place - back };
      rows.push({ ...row, addBytes, newBytes: next.at - row.at - addBytes });
      row = next;
    }
    return rows;
  }

  /**
   * The next place of the target with a match that is worth going to, and how many bytes of that
   * match are equal when one goes straight on.
   */
  #next(
    from: number,
    offset: number,
    gainBytes: number,
  ): { at: number; length: number; straight: number } {
    const [base, target] = [this.#base, this.#target];
    let straight = 0;
    let counted = from;
    let length = 0;
    let at = from;
    for (; at < target.length; at += 1) {
      length = this.#matches.find(at);
      for (; counted < at + length; counted += 1) {
        if (base[counted + offset] === target[counted]) straight += 1;
      }
      if ((length === straight && length !== 0) || length > straight + gainBytes) break;
      if (counted > at && base[at + offset] === target[at]) straight -= 1;
      if (counted === at) counted += 1;
    }
    return { at, length, straight };
  }

  /** How far the row goes on, and how far back the next one begins; they do not overlap. */
  #ends(
    row: { at: number; from: number },
    at: number,
    place: number,
  ): { addBytes: number; back: number } {
    let addBytes = this.#forward(row, at);
    let back = at < this.#target.length ? this.#backward(row.at, at, place) : 0;
    const overlap = row.at + addBytes - (at - back);
    if (overlap <= 0) return { addBytes, back };
    const [base, target] = [this.#base, this.#target];
    let [score, best, cut] = [0, 0, 0];
    for (let nth = 0; nth < overlap; nth += 1) {
      const here = at - back + nth;
      const byte = target[here];
      if (byte === base[row.from + here - row.at]) score += 1;
      if (byte === base[place - back + nth]) score -= 1;
      if (score > best) [best, cut] = [score, nth + 1];
    }
    addBytes += cut - overlap;
    back -= cut;
    return { addBytes, back };
  }

  #forward({ at, from }: { at: number; from: number }, end: number): number {
    const [base, target] = [this.#base, this.#target];
    const most = Math.min(end - at, base.length - from);
    let [equal, best, bytes] = [0, 0, 0];
    for (let nth = 0; nth < most; nth += 1) {
      if (base[from + nth] === target[at + nth]) equal += 1;
      const worth = equal * WORTH - (nth + 1);
      if (worth > best) [best, bytes] = [worth, nth + 1];
    }
    return bytes;
  }

  #backward(start: number, at: number, place: number): number {
    const [base, target] = [this.#base, this.#target];
    const most = Math.min(at - start, place);
    let [equal, best, bytes] = [0, 0, 0];
    for (let nth = 1; nth <= most; nth += 1) {
      if (base[place - nth] === target[at - nth]) equal += 1;
      const worth = equal * WORTH - nth;
      if (worth > best) [best, bytes] = [worth, nth];
    }
    return bytes;
  }
}
