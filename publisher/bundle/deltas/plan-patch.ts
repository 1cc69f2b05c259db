/**
 * Decides how a tar is made from the one before it: where the segments end, and what goes into the
 * dictionary of each. find-copies.ts finds the equal runs by reading. Sans-I/O.
 */

import { LIMITS } from '../../../shared/base/limits.ts';
import type { HistoryRange, PatchStep } from '../../../shared/transfer/patch-plan.ts';

/** Bounds of one segment. */
export interface SegmentBounds {
  readonly freshBytes: number;
  readonly dictionaryBytes: number;
}

export const SEGMENT_BOUNDS: SegmentBounds = {
  freshBytes: LIMITS.deltaFreshBytesMax,
  dictionaryBytes: LIMITS.deltaDictionaryBytesMax,
};

/** `bytes` of the target at `at` equal those of the history at `from`. */
export interface FoundCopy {
  readonly at: number;
  readonly bytes: number;
  readonly from: number;
}

export interface PlannedSegment {
  readonly steps: readonly PatchStep[];
  /** Ranges of the target, in order, that its frame unpacks to. */
  readonly fresh: readonly HistoryRange[];
  /** History that stood where the fresh bytes stand now: the old text of what was changed. */
  readonly replaced: readonly HistoryRange[];
  /** The target before this byte is complete when the segment is made. */
  readonly madeBytes: number;
}

/**
 * @param copies of the target, ascending and disjoint
 * @param sizes of the two tars
 */
export function planSegments(
  copies: readonly FoundCopy[],
  sizes: { baseBytes: number; targetBytes: number },
  bounds: SegmentBounds = SEGMENT_BOUNDS,
): PlannedSegment[] {
  const freshBytes = sizes.targetBytes - copies.reduce((sum, copy) => sum + copy.bytes, 0);
  // Segments of one size: a small last one would need a dictionary for almost nothing.
  const count = Math.max(1, Math.ceil(freshBytes / bounds.freshBytes));
  const splitter = new Splitter(Math.ceil(freshBytes / count), sizes.baseBytes);
  for (const copy of copies) splitter.copy(copy);
  return splitter.finish(sizes.targetBytes);
}

class Splitter {
  readonly #freshMax: number;
  readonly #baseBytes: number;
  readonly #segments: PlannedSegment[] = [];
  #steps: PatchStep[] = [];
  #fresh: HistoryRange[] = [];
  #replaced: HistoryRange[] = [];
  #freshBytes = 0;
  #stepFresh = 0;
  #madeAtStart = 0;
  #made = 0;
  /** Where the history continues after the last copy. */
  #copiedTo = 0;

  constructor(freshMax: number, baseBytes: number) {
    this.#freshMax = freshMax;
    this.#baseBytes = baseBytes;
  }

  copy({ at, bytes, from }: FoundCopy): void {
    this.#freshUpTo(at, from);
    this.#steps.push({ freshBytes: this.#stepFresh, copy: { at: from, bytes } });
    this.#stepFresh = 0;
    this.#made = at + bytes;
    this.#copiedTo = from + bytes;
  }

  finish(targetBytes: number): PlannedSegment[] {
    this.#freshUpTo(targetBytes, this.#baseBytes);
    if (this.#steps.length > 0 || this.#stepFresh > 0 || this.#segments.length === 0) this.#cut();
    return this.#segments;
  }

  /** @param next where the history continues with the copy behind these bytes */
  #freshUpTo(end: number, next: number): void {
    const length = end - this.#made;
    const oldBytes = next > this.#copiedTo ? next - this.#copiedTo : 0;
    while (this.#made < end) {
      const bytes = Math.min(end - this.#made, this.#freshMax - this.#freshBytes);
      this.#noteReplaced(bytes, { length, left: end - this.#made, next, oldBytes });
      this.#fresh.push({ at: this.#made, bytes });
      this.#freshBytes += bytes;
      this.#stepFresh += bytes;
      this.#made += bytes;
      if (this.#freshBytes === this.#freshMax && this.#made < end) this.#cut();
    }
  }

  /** The same part of the old text as these bytes are of the new one, with a margin around it. */
  #noteReplaced(
    bytes: number,
    piece: { length: number; left: number; next: number; oldBytes: number },
  ): void {
    const { length, left, next, oldBytes } = piece;
    // Fresh bytes that replaced nothing, or far more than themselves, were moved here: their
    // neighbours are as old.
    const span = oldBytes === 0 || oldBytes > length * 4 ? Math.min(length, next) : oldBytes;
    const start = oldBytes === 0 || oldBytes > length * 4 ? this.#copiedTo : next - oldBytes;
    const at = start + Math.floor(((length - left) / length) * span);
    const share = Math.ceil((bytes / length) * span);
    this.#replaced.push({ at, bytes: share });
  }

  #cut(): void {
    if (this.#stepFresh > 0) {
      this.#steps.push({ freshBytes: this.#stepFresh, copy: { at: 0, bytes: 0 } });
    }
    this.#segments.push({
      steps: this.#steps,
      fresh: this.#fresh,
      replaced: this.#replaced,
      madeBytes: this.#madeAtStart,
    });
    [this.#steps, this.#fresh, this.#replaced] = [[], [], []];
    [this.#freshBytes, this.#stepFresh, this.#madeAtStart] = [0, 0, this.#made];
  }
}

/** How often fresh bytes of a segment were found in each block of the history. */
export type Votes = ReadonlyMap<number, number>;

const BLOCK = LIMITS.deltaBlockBytes;

/**
 * The blocks that contain most of the fresh bytes, and those that these replaced, as ranges in
 * order.
 * @param historyBytes size of the history when the segment is made
 */
export function chooseDictionary(
  { votes, replaced }: { votes: Votes; replaced: readonly HistoryRange[] },
  historyBytes: number,
  bounds: SegmentBounds = SEGMENT_BOUNDS,
): HistoryRange[] {
  const wanted = new Map(votes);
  for (const { at, bytes } of replaced) {
    const [first, last] = [Math.floor(at / BLOCK) - 1, Math.floor((at + bytes) / BLOCK) + 1];
    for (let block = Math.max(0, first); block <= last; block += 1) {
      wanted.set(block, (wanted.get(block) ?? 0) + 1);
    }
  }
  const blocksMax = Math.floor(bounds.dictionaryBytes / BLOCK);
  const best = [...wanted]
    .filter(([block]) => block * BLOCK < historyBytes)
    .sort(([blockA, a], [blockB, b]) => b - a || blockA - blockB)
    .slice(0, blocksMax)
    .map(([block]) => block)
    .sort((a, b) => a - b);
  return joined(best, historyBytes);
}

function joined(blocks: readonly number[], historyBytes: number): HistoryRange[] {
  const ranges: { at: number; bytes: number }[] = [];
  for (const block of blocks) {
    const at = block * BLOCK;
    const bytes = Math.min(BLOCK, historyBytes - at);
    const last = ranges.at(-1);
    if (last && last.at + last.bytes === at) last.bytes += bytes;
    else ranges.push({ at, bytes });
  }
  return ranges;
}
