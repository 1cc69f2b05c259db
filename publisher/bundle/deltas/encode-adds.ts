/**
 * Writes the frame of one segment that adds to its dictionary [P-12.7]: four streams, each packed by
 * Brotli at its best. The differences of a row are nearly all 0, so they are written as lengths of
 * runs and the bytes that are not 0: that packs better than the row itself, and 20 times as fast.
 */

import { brotliCompressSync, constants } from 'node:zlib';
import { concatBytes } from '../../../shared/crypto/bytes.ts';
import { ADD_STREAM_WINDOW_BITS } from '../../../shared/transfer/add-frame.ts';
import { VarintWriter } from '../../../shared/base/varint.ts';
import { ByteSink } from './byte-sink.ts';
import { AddFinder, type AddRow } from './find-adds.ts';

/**
 * When a row ends, see `AddFinder.rows`: few bytes suit programs, many suit text, where each jump
 * costs more than the words that it saves. Each is tried, and the smallest frame is taken.
 */
const GAINS_BYTES = [8, 24, 40] as const;

export function encodeAdds(dictionary: Uint8Array, fresh: Uint8Array): Uint8Array {
  const finder = new AddFinder(dictionary, fresh);
  let best: Uint8Array | null = null;
  for (const gain of GAINS_BYTES) {
    const frame = frameOf(finder.rows(gain), dictionary, fresh);
    if (best === null || frame.byteLength < best.byteLength) best = frame;
  }
  return best as Uint8Array;
}

function frameOf(rows: readonly AddRow[], dictionary: Uint8Array, fresh: Uint8Array): Uint8Array {
  const [steps, runs, changes, news] = Array.from({ length: 4 }, () => new ByteSink()) as [
    ByteSink,
    ByteSink,
    ByteSink,
    ByteSink,
  ];
  const differences = new Differences(runs, changes);
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
  const streams = [steps, runs, changes, news].map((sink, nth) =>
    packed(sink.bytes(), ADD_STREAM_WINDOW_BITS[nth] as number),
  );
  const lead = new VarintWriter();
  for (const stream of streams) lead.put(stream.byteLength);
  return concatBytes(lead.bytes(), ...streams);
}

/** Pairs of how many differences are 0 and how many then are not, and the latter. */
class Differences {
  readonly #runs: ByteSink;
  readonly #changes: ByteSink;
  #same = 0;
  #changed = 0;

  constructor(runs: ByteSink, changes: ByteSink) {
    this.#runs = runs;
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
    this.#runs.number(this.#same);
    this.#runs.number(this.#changed);
    [this.#same, this.#changed] = [0, 0];
  }
}

/** Empty when nothing is packed. */
function packed(bytes: Uint8Array, windowBits: number): Uint8Array {
  if (bytes.byteLength === 0) return bytes;
  return brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: windowBits,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.byteLength,
    },
  });
}
