/**
 * A thread that writes the frame of one segment that adds to its dictionary [P-12.7], and posts it:
 * the builder stays able to be stopped. The differences of a row are nearly all 0, so they are
 * written as lengths of runs and the bytes that are not 0: that packs better than the row, and 20
 * times as fast.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { concatBytes } from '../../../shared/crypto/bytes.ts';
import { BROTLI_BEST, packBrotli } from '../../../shared/io/brotli.ts';
import { ADD_STREAM_WINDOW_BITS } from '../../../shared/transfer/add-frame.ts';
import { VarintWriter } from '../../../shared/base/varint.ts';
import { ByteSink } from './byte-sink.ts';
import { AddFinder, type AddRow } from './find-adds.ts';

export interface AddWork {
  readonly dictionary: Uint8Array;
  readonly fresh: Uint8Array;
}

/**
 * When a row ends, see `AddFinder.rows`: few bytes suit programs, many suit text, where each jump
 * costs more than the words that it saves. Each is tried at a quick quality, the best is packed.
 */
const GAINS_BYTES = [8, 24, 40] as const;

/** Ranks the gains nearly as the best quality does, in a fiftieth of its time. */
const QUICK_QUALITY = 5;

function encodeAdds(dictionary: Uint8Array, fresh: Uint8Array): Uint8Array {
  const finder = new AddFinder(dictionary, fresh);
  let best: { streams: Streams; bytes: number } | null = null;
  for (const gain of GAINS_BYTES) {
    const streams = streamsOf(finder.rows(gain), dictionary, fresh);
    const bytes = frameOf(streams, QUICK_QUALITY).byteLength;
    if (best === null || bytes < best.bytes) best = { streams, bytes };
  }
  return frameOf((best as NonNullable<typeof best>).streams, BROTLI_BEST);
}

type Streams = readonly Uint8Array[];

function streamsOf(rows: readonly AddRow[], dictionary: Uint8Array, fresh: Uint8Array): Streams {
  const [steps, stays, moves, changes, news] = [
    new ByteSink(),
    new ByteSink(),
    new ByteSink(),
    new ByteSink(),
    new ByteSink(),
  ] as const;
  const differences = new Differences(stays, moves, changes);
  let place = 0;
  for (const { at, from, addBytes, newBytes } of rows) {
    if (addBytes + newBytes === 0) continue;
    steps.signed(from - place);
    steps.number(addBytes);
    steps.number(newBytes);
    place = from + addBytes;
    for (let nth = 0; nth < addBytes; nth += 1) {
      differences.put((fresh[at + nth] as number) - (dictionary[from + nth] as number));
    }
    news.add(fresh.subarray(at + addBytes, at + addBytes + newBytes));
  }
  differences.end();
  return [steps, stays, moves, changes, news].map((sink) => sink.bytes());
}

function frameOf(streams: Streams, quality: number): Uint8Array {
  const parts = streams.map((bytes, nth) =>
    packBrotli(bytes, { quality, windowBits: ADD_STREAM_WINDOW_BITS[nth] as number }),
  );
  const lead = new VarintWriter();
  for (const part of parts) lead.put(part.byteLength);
  return concatBytes(lead.bytes(), ...parts);
}

/** Pairs of how many differences are 0 and how many then are not, and the latter. */
class Differences {
  readonly #stays: ByteSink;
  readonly #moves: ByteSink;
  readonly #changes: ByteSink;
  #same = 0;
  #changed = 0;

  constructor(stays: ByteSink, moves: ByteSink, changes: ByteSink) {
    this.#stays = stays;
    this.#moves = moves;
    this.#changes = changes;
  }

  put(difference: number): void {
    if (difference === 0) {
      if (this.#changed > 0) this.end();
      this.#same += 1;
      return;
    }
    this.#changed += 1;
    this.#changes.byte(difference);
  }

  end(): void {
    if (this.#same + this.#changed === 0) return;
    this.#stays.number(this.#same);
    this.#moves.number(this.#changed);
    [this.#same, this.#changed] = [0, 0];
  }
}

const { dictionary, fresh } = workerData as AddWork;
const frame = Uint8Array.from(encodeAdds(dictionary, fresh));
parentPort?.postMessage(frame, [frame.buffer]);
