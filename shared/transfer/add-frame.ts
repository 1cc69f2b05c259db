/**
 * Unpacks the frame of a segment that adds to its dictionary [P-12.7]. The frame has five streams,
 * each packed by Brotli: steps, runs that stay, runs that change, changes and new bytes. They are
 * unpacked side by side and no further than they are asked for, so neither a large segment nor a
 * stream that unpacks to gigabytes takes memory. Every place and every sum is checked before it is
 * used. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import type { Unpacker } from '../base/ports.ts';
import { VarintReader } from '../base/varint.ts';
import { ByteSource } from './byte-source.ts';
import type { HistoryView } from './history-view.ts';

/** log2 of the window of each stream: together at most 32 MiB on a robot. */
export const ADD_STREAM_WINDOW_BITS = [22, 22, 22, 22, 24] as const;
const STREAMS = ADD_STREAM_WINDOW_BITS.length;
/** A number of at most eight bytes for each. */
const LEAD_BYTES_MAX = STREAMS * 8;
const OUT_BYTES = 256 * 1024;

export interface AddFrame {
  readonly dictionary: HistoryView;
  readonly freshBytes: number;
  readonly frameBytes: number;
  /** That part of the frame, in pieces. */
  readonly read: (range: { at: number; bytes: number }) => AsyncIterable<Uint8Array>;
  readonly unpack: Unpacker;
  readonly signal: AbortSignal;
  /** Awaited before the piece is used again. */
  take(piece: Uint8Array): Promise<void>;
}

function invalid(why: string): DroverError {
  return new DroverError('DELTA_INVALID', `apply delta: ${why}`);
}

/** @throws DroverError DELTA_INVALID, what the ports throw, or the signal's reason */
export async function unpackAdds(frame: AddFrame): Promise<void> {
  const sources = await openStreams(frame);
  try {
    await new Adder(frame, sources).run();
    for (const source of sources) {
      if (!(await source.isAtEnd())) throw invalid('a stream goes on after its segment');
    }
  } finally {
    for (const source of sources) await source.close();
  }
}

type Sources = readonly [ByteSource, ByteSource, ByteSource, ByteSource, ByteSource];

async function openStreams({ read, frameBytes, unpack }: AddFrame): Promise<Sources> {
  const lead = new Uint8Array(Math.min(LEAD_BYTES_MAX, frameBytes));
  let filled = 0;
  for await (const piece of read({ at: 0, bytes: lead.byteLength })) {
    lead.set(piece, filled);
    filled += piece.byteLength;
  }
  const numbers = new VarintReader(lead, () => invalid('a bad number in a frame'));
  const lengths = ADD_STREAM_WINDOW_BITS.map(() => numbers.take());
  let at = numbers.taken;
  if (lengths.reduce((sum, bytes) => sum + bytes, at) !== frameBytes) {
    throw invalid('its streams are not the frame');
  }
  return lengths.map((bytes) => {
    const packed = read({ at, bytes });
    at += bytes;
    return new ByteSource(bytes === 0 ? packed : unpack(packed), () =>
      invalid('a stream of a frame is cut short'),
    );
  }) as unknown as Sources;
}

class Adder {
  readonly #frame: AddFrame;
  readonly #steps: ByteSource;
  readonly #stays: ByteSource;
  readonly #moves: ByteSource;
  readonly #changes: ByteSource;
  readonly #news: ByteSource;
  readonly #out = new Uint8Array(OUT_BYTES);
  #filled = 0;
  /** The rest of the current pair of runs. */
  #same = 0;
  #changed = 0;

  constructor(frame: AddFrame, [steps, stays, moves, changes, news]: Sources) {
    this.#frame = frame;
    this.#steps = steps;
    this.#stays = stays;
    this.#moves = moves;
    this.#changes = changes;
    this.#news = news;
  }

  async run(): Promise<void> {
    const { freshBytes, dictionary } = this.#frame;
    let place = 0;
    for (let made = 0; made < freshBytes;) {
      place += await this.#steps.signed();
      const addBytes = await this.#steps.number();
      const newBytes = await this.#steps.number();
      if (addBytes + newBytes === 0) throw invalid('a step that makes nothing');
      made += addBytes + newBytes;
      if (made > freshBytes) throw invalid('more fresh bytes than the plan says');
      if (place < 0 || place + addBytes > dictionary.bytes) {
        throw invalid('it adds to what is not in the dictionary');
      }
      await this.#eachPart(addBytes, async (into, done) => {
        await dictionary.fill(into, place + done);
        await this.#addTo(into);
      });
      place += addBytes;
      await this.#eachPart(newBytes, (into) => this.#news.fill(into));
    }
    await this.#flush();
    if (this.#same + this.#changed > 0) throw invalid('a run goes on after its segment');
  }

  async #eachPart(
    bytes: number,
    fill: (into: Uint8Array, done: number) => Promise<void>,
  ): Promise<void> {
    for (let done = 0; done < bytes;) {
      if (this.#filled === OUT_BYTES) await this.#flush();
      const part = Math.min(bytes - done, OUT_BYTES - this.#filled);
      await fill(this.#out.subarray(this.#filled, this.#filled + part), done);
      this.#filled += part;
      done += part;
    }
  }

  async #flush(): Promise<void> {
    this.#frame.signal.throwIfAborted();
    if (this.#filled > 0) await this.#frame.take(this.#out.subarray(0, this.#filled));
    this.#filled = 0;
  }

  async #addTo(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) {
      if (this.#same + this.#changed === 0) {
        // Two awaits for each of millions of runs would take longer than all the rest.
        this.#same = this.#stays.numberThere() ?? (await this.#stays.number());
        this.#changed = this.#moves.numberThere() ?? (await this.#moves.number());
        if (this.#same + this.#changed === 0) throw invalid('a run of nothing');
      }
      const same = Math.min(this.#same, bytes.byteLength - at);
      this.#same -= same;
      at += same;
      const changed = Math.min(this.#changed, bytes.byteLength - at);
      this.#changed -= changed;
      for (const end = at + changed; at < end;) {
        const added = this.#changes.addTo(bytes, at, end);
        at += added;
        if (added === 0) await this.#changes.more();
      }
    }
  }
}
