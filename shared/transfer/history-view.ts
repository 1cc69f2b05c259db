/**
 * Ranges of the history, one after the other, as bytes that can be read at any place. Places that
 * are read are mostly close together, so a few pages are kept. Sans-I/O.
 */

import type { HistoryRange } from './patch-plan.ts';

const PAGE_BYTES = 128 * 1024;
/** 8 MiB. */
const PAGES_MAX = 64;

export class HistoryView {
  readonly bytes: number;
  readonly #ranges: readonly { readonly at: number; readonly viewAt: number; bytes: number }[];
  readonly #read: (range: HistoryRange, into: Uint8Array) => Promise<void>;
  readonly #pages = new Map<number, Uint8Array>();

  /** @param read fills the bytes, which are as many as those of the range */
  constructor(
    ranges: readonly HistoryRange[],
    read: (range: HistoryRange, into: Uint8Array) => Promise<void>,
  ) {
    let viewAt = 0;
    this.#ranges = ranges.map(({ at, bytes }) => {
      const range = { at, bytes, viewAt };
      viewAt += bytes;
      return range;
    });
    this.bytes = viewAt;
    this.#read = read;
  }

  /** @param at a place with as many bytes behind it */
  async fill(into: Uint8Array, at: number): Promise<void> {
    for (let done = 0; done < into.byteLength;) {
      const number = Math.floor((at + done) / PAGE_BYTES);
      const page = this.#pages.get(number) ?? (await this.#load(number));
      const start = at + done - number * PAGE_BYTES;
      const part = page.subarray(start, start + into.byteLength - done);
      if (part.byteLength === 0) throw new RangeError('a place beyond the dictionary');
      into.set(part, done);
      done += part.byteLength;
    }
  }

  async #load(number: number): Promise<Uint8Array> {
    const start = number * PAGE_BYTES;
    const page = new Uint8Array(Math.max(0, Math.min(PAGE_BYTES, this.bytes - start)));
    for (let nth = this.#rangeAt(start), done = 0; done < page.byteLength; nth += 1) {
      const range = this.#ranges[nth];
      if (!range) throw new RangeError('ranges that end before their sum');
      const inRange = start + done - range.viewAt;
      const bytes = Math.min(range.bytes - inRange, page.byteLength - done);
      await this.#read({ at: range.at + inRange, bytes }, page.subarray(done, done + bytes));
      done += bytes;
    }
    const [oldest] = this.#pages.keys();
    if (this.#pages.size >= PAGES_MAX && oldest !== undefined) this.#pages.delete(oldest);
    this.#pages.set(number, page);
    return page;
  }

  #rangeAt(viewAt: number): number {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle];
      if (range && range.viewAt + range.bytes <= viewAt) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
