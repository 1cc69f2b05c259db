/**
 * Turns long runs of zeroes, which system images are full of, into copies: from zeroes of the base,
 * or from those that were made already. So a run costs a few bytes of the plan however long it is,
 * and neither a build nor a robot packs or unpacks it. A run that nothing precedes doubles itself:
 * its first bytes stay fresh, then each copy is as long as what is there.
 */

import { LIMITS } from '../../../shared/base/limits.ts';
import type { HistoryRange } from '../../../shared/transfer/patch-plan.ts';
import type { History } from './history.ts';
import type { FoundCopy } from './plan-patch.ts';
import { isZero } from './rolling-hash.ts';

const BLOCK = LIMITS.deltaBlockBytes;

/** Finds runs of whole blocks of zeroes in a stream. */
export class ZeroRuns {
  readonly #bytesMin: number;
  readonly #onRun: (run: HistoryRange) => void;
  #atByte: number;
  #runBytes = 0;

  /** @param atByte place of the first byte that is fed */
  constructor(atByte: number, bytesMin: number, onRun: (run: HistoryRange) => void) {
    this.#atByte = atByte;
    this.#bytesMin = bytesMin;
    this.#onRun = onRun;
  }

  feed(piece: Uint8Array): void {
    for (let at = 0; at < piece.byteLength; at += BLOCK) {
      const block = piece.subarray(at, at + BLOCK);
      if (!isZero(block)) this.finish();
      else this.#runBytes += block.byteLength;
      this.#atByte += block.byteLength;
    }
  }

  /** The stream ends, or the run does. */
  finish(): void {
    const bytes = this.#runBytes;
    this.#runBytes = 0;
    if (bytes >= this.#bytesMin) this.#onRun({ at: this.#atByte - bytes, bytes });
  }
}

/**
 * @param copies of the target, ascending and disjoint
 * @param baseZeroes the longest run of zeroes of the base; null when it has no long one
 * @param bytesMin shortest run that is worth a copy
 * @returns the same copies, and those of zeroes between them
 */
export async function withZeroes(
  history: History,
  copies: readonly FoundCopy[],
  { baseZeroes, bytesMin }: { baseZeroes: HistoryRange | null; bytesMin: number },
): Promise<FoundCopy[]> {
  const all: FoundCopy[] = [];
  const maker = new ZeroCopies(history, baseZeroes, bytesMin);
  let doneTo = 0;
  for (const next of [...copies, { at: history.target.bytes, bytes: 0, from: 0 }]) {
    if (next.at - doneTo >= bytesMin) {
      const last = all.at(-1);
      const runs = await runsIn(history, { at: doneTo, bytes: next.at - doneTo }, bytesMin);
      for (const run of runs) all.push(...(await maker.copy(run, last ? last.from - last.at : 0)));
    }
    if (next.bytes > 0) all.push(next);
    doneTo = next.at + next.bytes;
  }
  return all;
}

async function runsIn(
  { target }: History,
  { at, bytes }: HistoryRange,
  bytesMin: number,
): Promise<HistoryRange[]> {
  const runs: HistoryRange[] = [];
  const finder = new ZeroRuns(at, bytesMin, (run) => runs.push(run));
  for await (const piece of target.range(at, bytes)) finder.feed(piece);
  finder.finish();
  return runs;
}

class ZeroCopies {
  readonly #history: History;
  readonly #bytesMin: number;
  /** The longest run of zeroes of the history so far. */
  #source: HistoryRange | null;

  constructor(history: History, baseZeroes: HistoryRange | null, bytesMin: number) {
    this.#history = history;
    this.#bytesMin = bytesMin;
    this.#source = baseZeroes;
  }

  /** @param straightOn distance to where the base goes on, whose zeroes come first */
  async copy(run: HistoryRange, straightOn: number): Promise<FoundCopy[]> {
    const { base } = this.#history;
    const from = run.at + straightOn;
    const room = from < 0 ? 0 : Math.min(run.bytes, base.bytes - from);
    const equal = room < this.#bytesMin ? 0 : await this.#history.equalAfter(from, run.at, room);
    const first = equal < this.#bytesMin ? [] : [{ at: run.at, bytes: equal, from }];
    let made = first[0]?.bytes ?? 0;
    // Nothing to copy from: the first bytes are packed as they are.
    if (made === 0 && this.#source === null) made = this.#bytesMin;
    const copies: FoundCopy[] = [...first];
    // The end of a run may be shorter than a copy is worth: so there are never too many copies.
    while (run.bytes - made >= this.#bytesMin) {
      const own = { at: base.bytes + run.at, bytes: made };
      const source = this.#source && this.#source.bytes >= made ? this.#source : own;
      const bytes = Math.min(source.bytes, run.bytes - made);
      copies.push({ at: run.at + made, bytes, from: source.at });
      made += bytes;
    }
    if (run.bytes > (this.#source?.bytes ?? 0)) {
      this.#source = { at: base.bytes + run.at, bytes: run.bytes };
    }
    return copies;
  }
}
