/**
 * Finds the long runs of a target that are in the base or earlier in the target itself. Places are
 * picked by content (rolling-hash.ts), looked up, and then the bytes themselves are compared: a key
 * is only a hint. Memory is a table of a million places, whatever the size of the tars.
 */

import { LIMITS } from '../../../shared/base/limits.ts';
import type { HistoryRange } from '../../../shared/transfer/patch-plan.ts';
import { Gear, zeroBitsFor } from './rolling-hash.ts';
import { PlaceTable } from './place-table.ts';
import { withZeroes, ZeroRuns } from './zero-runs.ts';
import type { FoundCopy } from './plan-patch.ts';
import type { History } from './history.ts';

const PLACES_MAX = 2 ** 20;
/** Fine enough to find which blocks a changed text came from. */
const FINE_BITS_LEAST = 7;
/** Places at which a long run is searched: enough to hit each run many times. */
const COARSE_BITS_LEAST = 12;

export interface FoundCopies {
  readonly copies: readonly FoundCopy[];
  /** Places of the whole history, to look up the fresh bytes. */
  readonly places: PlaceTable;
  readonly placeBits: number;
}

/** @param onBytes called with the number of bytes read of either tar */
export async function findCopies(
  history: History,
  onBytes: (bytes: number) => void,
): Promise<FoundCopies> {
  const totalBytes = history.base.bytes + history.target.bytes;
  const placeBits = zeroBitsFor(totalBytes, PLACES_MAX, FINE_BITS_LEAST);
  const places = new PlaceTable();
  const gear = new Gear(placeBits);
  const bytesMin = copyBytesMin(history.target.bytes);
  let baseZeroes: HistoryRange | null = null;
  const zeroes = new ZeroRuns(0, bytesMin, (run) => {
    if (run.bytes > (baseZeroes?.bytes ?? 0)) baseZeroes = run;
  });
  for await (const piece of history.base.range(0, history.base.bytes)) {
    gear.feed(piece, (key, at) => places.add(key, at));
    zeroes.feed(piece);
    onBytes(piece.byteLength);
  }
  zeroes.finish();
  const coarseBits = Math.max(placeBits, COARSE_BITS_LEAST);
  const finder = new CopyFinder(history, { places, bytesMin, coarseBits });
  gear.jump(0);
  for await (const piece of history.target.range(0, history.target.bytes)) {
    const found: Place[] = [];
    gear.feed(piece, (key, at, rarity) => found.push({ key, at, rarity }));
    onBytes(piece.byteLength);
    for (const place of found) await finder.compare(place);
  }
  const copies = await withZeroes(history, finder.copies, { baseZeroes, bytesMin });
  return { copies, places, placeBits };
}

/** So few copies that a plan has room for as many again, of zeroes. */
function copyBytesMin(targetBytes: number): number {
  const evenly = Math.ceil(targetBytes / (LIMITS.deltaCopiesMax / 2));
  return Math.max(LIMITS.deltaCopyBytesMin, evenly);
}

interface Place {
  readonly key: number;
  readonly at: number;
  readonly rarity: number;
}

class CopyFinder {
  readonly copies: FoundCopy[] = [];
  readonly #history: History;
  readonly #places: PlaceTable;
  readonly #coarseBits: number;
  readonly #bytesMin: number;
  /** The target is copied up to here. */
  #doneTo = 0;
  /** Runs that were too short, by their offset in the history: not compared again. */
  readonly #short = new Map<number, number>();

  constructor(history: History, on: { places: PlaceTable; bytesMin: number; coarseBits: number }) {
    this.#history = history;
    this.#places = on.places;
    this.#coarseBits = on.coarseBits;
    this.#bytesMin = on.bytesMin;
  }

  async compare({ key, at, rarity }: Place): Promise<void> {
    const { base } = this.#history;
    const seen = this.#places.get(key);
    if (seen === null) this.#places.add(key, base.bytes + at);
    if (rarity < this.#coarseBits || at <= this.#doneTo) return;
    const last = this.copies.at(-1);
    // The continuation of the last copy comes first: files mostly keep their order.
    const straightOn = last ? last.from - last.at : 0;
    for (const off of new Set([straightOn, ...(seen === null ? [] : [seen - at])])) {
      if (await this.#take(at, off)) return;
    }
  }

  async #take(at: number, off: number): Promise<boolean> {
    const { base, target } = this.#history;
    if ((this.#short.get(off) ?? -1) >= at) return false;
    const from = at + off;
    const isInBase = from <= base.bytes;
    const historyEnd = isInBase ? base.bytes : base.bytes + at;
    if (from < 0 || from > historyEnd) return false;
    const historyStart = isInBase ? 0 : base.bytes;
    // A run of the target itself starts at the latest where it would copy itself.
    const apart = isInBase ? Infinity : base.bytes + at - from;
    const before = Math.min(at - this.#doneTo, from - historyStart, apart);
    const back = await this.#history.equalBefore(from, at, before);
    // And it ends there.
    const ends = Math.min(target.bytes - at, historyEnd - from - (isInBase ? 0 : back));
    const on = ends > 0 ? await this.#history.equalAfter(from, at, ends) : 0;
    if (back + on < this.#bytesMin) {
      if (this.#short.size > 1_000) this.#short.clear();
      this.#short.set(off, at + on);
      return false;
    }
    this.copies.push({ at: at - back, bytes: back + on, from: from - back });
    this.#doneTo = at + on;
    return true;
  }
}
