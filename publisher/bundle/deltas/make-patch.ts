/**
 * Makes the delta from one tar to another: finds the copies, plans the segments, and lets the
 * `zstd` program pack the fresh bytes of each against a dictionary of its own. Everything is read
 * from and written to files piece by piece. In memory are the table of places, and in the child
 * process one dictionary and one segment.
 */

import { createWriteStream } from 'node:fs';
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Sha256Stream } from '../../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { runZstd } from '../../../shared/io/zstd.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import {
  encodePatchHead,
  freshBytesOf,
  rangeBytes,
  PIECE_BOUNDS,
  type HistoryRange,
  type PatchCoding,
  type PatchPlan,
  type PatchSegment,
} from '../../../shared/transfer/patch-plan.ts';
import { Gear } from './rolling-hash.ts';
import {
  chooseDictionary,
  planSegments,
  type PlannedSegment,
  type SegmentBounds,
} from './plan-patch.ts';
import { encodeOnThread } from './run-add-worker.ts';
import { findCopies, type FoundCopies } from './find-copies.ts';
import { History } from './history.ts';

/**
 * Level 22, with a denser long-range match finder than its own: in dictionaries of tens of MiB it
 * finds what the trees of the level no longer reach, for 16 MiB of memory (measured: 3 to 10 %
 * smaller at level 19). One thread, since only then are its matches found over all of the
 * dictionary, and the bytes do not depend on the machine. No checksum: robots hash the whole.
 */
const PACKING = [
  '--ultra',
  '-22',
  '--single-thread',
  '--long=27',
  '--zstd=ldmMinMatch=32,ldmHashRateLog=4,ldmHashLog=21',
  '--no-check',
] as const;

export interface PatchJob {
  readonly coding: PatchCoding;
  readonly zstd: string;
  readonly basePath: string;
  readonly targetPath: string;
  /** Created again; synced when this resolves. */
  readonly out: string;
  /** Folder for a dictionary and the frames; left empty. */
  readonly scratch: string;
  /** Default: the bounds of robots. */
  readonly bounds?: SegmentBounds;
  /** Called with the bytes read: both tars once, and the target once more. */
  readonly onBytes: (bytes: number) => void;
}

export interface MadePatch {
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly plan: PatchPlan;
}

/** @throws DroverError ZSTD_MISSING, ZSTD_FAILED, ZSTD_TIMED_OUT, DELTA_MEMORY_SHORT */
export async function makePatch(job: PatchJob): Promise<MadePatch> {
  const history = await History.open({ base: job.basePath, target: job.targetPath });
  const maker = new PatchMaker(job, history);
  try {
    return await maker.run();
  } finally {
    await history.close();
    await maker.removeScratch();
  }
}

class PatchMaker {
  readonly #job: PatchJob;
  readonly #history: History;
  readonly #dictionaryPath: string;
  readonly #framesPath: string;
  readonly #bounds: SegmentBounds;

  constructor(job: PatchJob, history: History) {
    this.#job = job;
    this.#history = history;
    this.#dictionaryPath = join(job.scratch, 'dictionary');
    this.#framesPath = join(job.scratch, 'frames');
    this.#bounds = job.bounds ?? PIECE_BOUNDS[job.coding];
  }

  async removeScratch(): Promise<void> {
    await rm(this.#dictionaryPath, { force: true });
    await rm(this.#framesPath, { force: true });
  }

  async run(): Promise<MadePatch> {
    const { base, target } = this.#history;
    const found = await findCopies(this.#history, this.#job.onBytes);
    const sizes = { baseBytes: base.bytes, targetBytes: target.bytes };
    const segments: PatchSegment[] = [];
    const planned = planSegments(found.copies, sizes, this.#bounds);
    const freshBytes = planned.reduce((sum, segment) => sum + rangeBytes(segment.fresh), 0);
    this.#job.onBytes(target.bytes - freshBytes); // copies need no packing
    const frames = await open(this.#framesPath, 'w');
    try {
      for (const segment of planned) {
        segments.push(await this.#pack(segment, found, frames));
      }
    } finally {
      await frames.close();
    }
    const plan: PatchPlan = { coding: this.#job.coding, ...sizes, segments };
    return { plan, ...(await this.#join(encodePatchHead(plan))) };
  }

  async #pack(
    segment: PlannedSegment,
    found: FoundCopies,
    frames: FileHandle,
  ): Promise<PatchSegment> {
    const { steps } = segment;
    if (segment.fresh.length === 0) return { frameBytes: 0, dictionary: [], steps };
    const historyBytes = this.#history.base.bytes + segment.madeBytes;
    const votes = await this.#votes(segment, found);
    const { replaced } = segment;
    const dictionary = chooseDictionary({ votes, replaced }, historyBytes, this.#bounds);
    const frameBytes =
      this.#job.coding === 'zstd'
        ? await this.#encode(segment, dictionary, frames)
        : await this.#encodeAdds(segment, dictionary, frames);
    return { frameBytes, dictionary, steps };
  }

  /** Counts which blocks of the history contain the fresh bytes. */
  async #votes(segment: PlannedSegment, found: FoundCopies): Promise<Map<number, number>> {
    const votes = new Map<number, number>();
    const historyBytes = this.#history.base.bytes + segment.madeBytes;
    const gear = new Gear(found.placeBits);
    for (const { at, bytes } of segment.fresh) {
      gear.jump(at);
      for await (const piece of this.#history.target.range(at, bytes)) {
        gear.feed(piece, (key) => {
          const place = found.places.get(key);
          if (place === null || place > historyBytes) return;
          const block = Math.floor((place - 1) / LIMITS.deltaBlockBytes);
          votes.set(block, (votes.get(block) ?? 0) + 1);
        });
      }
    }
    return votes;
  }

  /** @returns the length of the frame */
  async #encode(
    segment: PlannedSegment,
    dictionary: readonly HistoryRange[],
    frames: FileHandle,
  ): Promise<number> {
    const freshBytes = freshBytesOf(segment);
    const from = rangeBytes(dictionary) === 0 ? [] : [`--patch-from=${this.#dictionaryPath}`];
    if (from.length > 0) {
      const out = createWriteStream(this.#dictionaryPath);
      await pipeline(this.#history.ranges(dictionary), out);
    }
    let frameBytes = 0;
    await runZstd({
      program: this.#job.zstd,
      args: ['-q', '-c', ...PACKING, ...from, `--stream-size=${freshBytes}`],
      input: this.#fresh(segment),
      take: async (piece) => {
        await frames.write(piece);
        frameBytes += piece.byteLength;
      },
      timeoutMs: LIMITS.zstdEncodeMsMax,
    });
    return frameBytes;
  }

  /** @returns the length of the frame */
  async #encodeAdds(
    segment: PlannedSegment,
    ranges: readonly HistoryRange[],
    frames: FileHandle,
  ): Promise<number> {
    const dictionary = await gathered(this.#history.ranges(ranges), rangeBytes(ranges));
    const fresh = await gathered(this.#fresh(segment), freshBytesOf(segment));
    const frame = await encodeOnThread({ dictionary, fresh });
    await frames.write(frame);
    return frame.byteLength;
  }

  async *#fresh({ fresh }: PlannedSegment): AsyncGenerator<Uint8Array> {
    for (const { at, bytes } of fresh) {
      for await (const piece of this.#history.target.range(at, bytes)) {
        yield piece;
        this.#job.onBytes(piece.byteLength);
      }
    }
  }

  /** Joins head and frames into one file. */
  async #join(head: Uint8Array): Promise<{ sha256: Sha256Hex; bytes: number }> {
    const hash = new Sha256Stream();
    const frames = await open(this.#framesPath, 'r');
    try {
      await pipeline(
        async function* () {
          hash.update(head);
          yield head;
          for await (const piece of frames.createReadStream({ autoClose: false })) {
            hash.update(piece as Buffer);
            yield piece as Buffer;
          }
        },
        createWriteStream(this.#job.out, { flush: true }),
      );
    } finally {
      await frames.close();
    }
    return { sha256: hash.digestHex(), bytes: (await stat(this.#job.out)).size };
  }
}

async function gathered(pieces: AsyncIterable<Uint8Array>, bytes: number): Promise<Uint8Array> {
  const all = new Uint8Array(bytes);
  let at = 0;
  for await (const piece of pieces) {
    all.set(piece, at);
    at += piece.byteLength;
  }
  return all;
}
