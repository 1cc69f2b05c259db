/**
 * The plan at the head of a delta: how a tar is made from the one before it.
 * A delta is a file of zstd frames. The first is a skippable one and holds this plan; `zstd -l` and
 * `zstd -t` accept the file. The history is the base tar followed by what was made so far. Each
 * segment is a row of fresh bytes and copies: copies are runs of the history; fresh bytes come from
 * one zstd frame whose dictionary consists of ranges of the history. So patching takes the memory
 * of one segment, however large the two tars are.
 * A robot checks everything here: no range leaves the history, no sum exceeds its bound, and the
 * sums are those of the whole. The result is hashed as well. Sans-I/O.
 */

import { concatBytes } from '../crypto/bytes.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { VarintReader, VarintWriter } from '../base/varint.ts';

/** Bytes of the history: the base, then what was made of the target before. */
export interface HistoryRange {
  readonly at: number;
  readonly bytes: number;
}

/** Fresh bytes, then a copy from the history; either may be empty. */
export interface PatchStep {
  readonly freshBytes: number;
  readonly copy: HistoryRange;
}

export interface PatchSegment {
  /** The zstd frame in the patch file; 0 where nothing is fresh. */
  readonly frameBytes: number;
  /** Ascending and apart from each other. */
  readonly dictionary: readonly HistoryRange[];
  readonly steps: readonly PatchStep[];
}

/** How fresh bytes are packed: frames of zstd, or additions to the dictionary (add-frame.ts). */
export type PatchCoding = 'zstd' | 'add';

export interface PatchPlan {
  readonly coding: PatchCoding;
  readonly baseBytes: number;
  readonly targetBytes: number;
  readonly segments: readonly PatchSegment[];
}

/** One of the 16 magic numbers of skippable frames (RFC 8878, 3.1.2), little endian. */
const SKIPPABLE_MAGIC = Uint8Array.of(0x5d, 0x2a, 0x4d, 0x18);
const SIZE_BYTES = 4;
/** Distinguishes our plan from other skippable frames, and names its coding. All are as long. */
const MARKS: Readonly<Record<PatchCoding, Uint8Array>> = {
  zstd: new TextEncoder().encode('drover-patch 1\n'),
  add: new TextEncoder().encode('drover-patch 2\n'),
};

interface PieceBounds {
  readonly freshBytes: number;
  readonly dictionaryBytes: number;
}

/** Most that one segment may have. */
export const PIECE_BOUNDS: Readonly<Record<PatchCoding, PieceBounds>> = {
  zstd: {
    freshBytes: LIMITS.deltaFreshBytesMax,
    dictionaryBytes: LIMITS.deltaDictionaryBytesMax,
  },
  add: {
    freshBytes: LIMITS.deltaAddFreshBytesMax,
    dictionaryBytes: LIMITS.deltaAddDictionaryBytesMax,
  },
};

/** Bytes of a patch that give the length of its head. */
export const PATCH_LEAD_BYTES = SKIPPABLE_MAGIC.byteLength + SIZE_BYTES;

export const freshBytesOf = (segment: Pick<PatchSegment, 'steps'>): number =>
  segment.steps.reduce((sum, step) => sum + step.freshBytes, 0);

export const rangeBytes = (ranges: readonly HistoryRange[]): number =>
  ranges.reduce((sum, range) => sum + range.bytes, 0);

function invalid(why: string): DroverError {
  return new DroverError('DELTA_INVALID', `read delta: ${why}`);
}

/** The bytes before the first frame of a patch. */
export function encodePatchHead(plan: PatchPlan): Uint8Array {
  const out = new VarintWriter();
  out.put(plan.baseBytes);
  out.put(plan.targetBytes);
  out.put(plan.segments.length);
  let copiedTo = 0;
  for (const segment of plan.segments) {
    out.put(segment.frameBytes);
    out.put(segment.dictionary.length);
    let behind = 0;
    for (const { at, bytes } of segment.dictionary) {
      out.put(at - behind);
      out.put(bytes);
      behind = at + bytes;
    }
    out.put(segment.steps.length);
    for (const { freshBytes, copy } of segment.steps) {
      out.put(freshBytes);
      out.put(copy.bytes);
      if (copy.bytes === 0) continue;
      // A replacement is mostly as long as what it replaces: a difference of 0 or few bytes.
      out.putSigned(copy.at - (copiedTo + freshBytes));
      copiedTo = copy.at + copy.bytes;
    }
  }
  const body = concatBytes(MARKS[plan.coding], out.bytes());
  const size = new Uint8Array(SIZE_BYTES);
  new DataView(size.buffer).setUint32(0, body.byteLength, true);
  return concatBytes(SKIPPABLE_MAGIC, size, body);
}

/**
 * Length of the head, from the first PATCH_LEAD_BYTES of a patch.
 * @throws DroverError DELTA_INVALID
 */
export function patchHeadBytes(lead: Uint8Array): number {
  const isOurs = SKIPPABLE_MAGIC.every((byte, at) => lead[at] === byte);
  if (lead.byteLength < PATCH_LEAD_BYTES || !isOurs) throw invalid('it does not begin with a plan');
  const bytes = new DataView(lead.buffer, lead.byteOffset).getUint32(4, true);
  if (bytes <= LIMITS.deltaPlanBytesMax) return PATCH_LEAD_BYTES + bytes;
  throw invalid(`plan too large (got ${bytes} bytes, want at most ${LIMITS.deltaPlanBytesMax})`);
}

/**
 * [P-12.1]
 * @param head the first `patchHeadBytes` of the patch
 * @param patchBytes the whole patch, head included
 * @throws DroverError DELTA_INVALID for a plan that breaks any rule
 */
export function parsePatchHead(head: Uint8Array, patchBytes: number): PatchPlan {
  const body = head.subarray(PATCH_LEAD_BYTES);
  if (patchHeadBytes(head) !== head.byteLength) throw invalid('the plan is cut short');
  const coding = codingOf(body);
  const from = new VarintReader(body.subarray(MARKS[coding].byteLength), () =>
    invalid('a bad number'),
  );
  const bounds = PIECE_BOUNDS[coding];
  const start = { madeBytes: 0, copiedTo: 0, copies: 0 };
  const reading: Reading = { from, bounds, baseBytes: from.take(), ...start };
  const targetBytes = from.take();
  if (Math.max(reading.baseBytes, targetBytes) > LIMITS.archiveBytesMax) {
    throw invalid(`tars too large (want at most ${LIMITS.archiveBytesMax} bytes)`);
  }
  const count = from.take();
  if (count > LIMITS.deltaSegmentsMax) throw invalid(`too many segments (got ${count})`);
  const segments = Array.from({ length: count }, () => readSegment(reading));
  if (!from.isAtEnd) throw invalid('bytes behind the plan');
  const frames = segments.reduce((sum, segment) => sum + segment.frameBytes, 0);
  if (reading.madeBytes !== targetBytes) throw invalid('its steps do not make the target');
  if (head.byteLength + frames !== patchBytes) throw invalid('its frames are not the file');
  return { coding, baseBytes: reading.baseBytes, targetBytes, segments };
}

function codingOf(body: Uint8Array): PatchCoding {
  const codings = Object.keys(MARKS) as PatchCoding[];
  const found = codings.find((one) => MARKS[one].every((byte, at) => body[at] === byte));
  if (found === undefined) throw invalid('the plan is of another kind');
  return found;
}

interface Reading {
  readonly from: VarintReader;
  readonly bounds: PieceBounds;
  readonly baseBytes: number;
  /** Bytes of the target that the steps so far have made. */
  madeBytes: number;
  copiedTo: number;
  copies: number;
}

/** [P-12.2] */
function readSegment(reading: Reading): PatchSegment {
  const { from } = reading;
  const frameBytes = from.take();
  const dictionary = readDictionary(reading);
  const steps: PatchStep[] = [];
  let freshBytes = 0;
  const count = from.take();
  reading.copies += count;
  if (reading.copies > LIMITS.deltaCopiesMax + LIMITS.deltaSegmentsMax) {
    throw invalid(`too many steps (got ${reading.copies})`);
  }
  for (let nth = 0; nth < count; nth += 1) {
    const step = readStep(reading);
    freshBytes += step.freshBytes;
    steps.push(step);
  }
  const most = reading.bounds.freshBytes;
  if (freshBytes > most) throw invalid(`a segment of ${freshBytes} bytes (want <= ${most})`);
  if ((freshBytes === 0) !== (frameBytes === 0)) throw invalid('a frame without fresh bytes');
  return { frameBytes, dictionary, steps };
}

function readDictionary({ from, bounds, baseBytes, madeBytes }: Reading): HistoryRange[] {
  const ranges: HistoryRange[] = [];
  let [behind, bytes] = [0, 0];
  const count = from.take();
  if (count > bounds.dictionaryBytes / LIMITS.deltaBlockBytes) {
    throw invalid(`a dictionary of ${count} ranges`);
  }
  for (let nth = 0; nth < count; nth += 1) {
    const at = behind + from.take();
    const range = { at, bytes: from.take() };
    behind = at + range.bytes;
    bytes += range.bytes;
    ranges.push(range);
  }
  if (behind > baseBytes + madeBytes) throw invalid('a dictionary of what is not there yet');
  if (bytes <= bounds.dictionaryBytes) return ranges;
  throw invalid(`a dictionary of ${bytes} bytes (want <= ${bounds.dictionaryBytes})`);
}

function readStep(reading: Reading): PatchStep {
  const { from, baseBytes } = reading;
  const freshBytes = from.take();
  const bytes = from.take();
  reading.madeBytes += freshBytes;
  if (bytes === 0) return { freshBytes, copy: { at: 0, bytes } };
  const at = reading.copiedTo + freshBytes + from.takeSigned();
  const end = at + bytes;
  // A run that ends in the base or lies in what is made already: never one that makes itself.
  const isInBase = at >= 0 && end <= baseBytes;
  const isInMade = at >= baseBytes && end <= baseBytes + reading.madeBytes;
  if (!isInBase && !isInMade) throw invalid('a copy of what is not there yet');
  reading.copiedTo = end;
  reading.madeBytes += bytes;
  return { freshBytes, copy: { at, bytes } };
}
