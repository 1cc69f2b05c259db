/**
 * Limits the bytes per second that all readers get together, fairly: a token bucket, and deficit
 * round robin between the readers, so that a robot that asks for much takes nothing from one that
 * asks for little.
 * Time is a parameter. It must never release more than the rate, a burst and one chunk, never hold
 * a chunk back while the rate allows it, and never change the order of one reader. Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export interface QueuedChunk<Reader> {
  readonly reader: Reader;
  /** Estimate of what it will send. */
  readonly bytes: number;
}

interface Line<T> {
  readonly chunks: T[];
  /** Bytes that this reader may take before the next reader has its turn. */
  credit: number;
}

export class RateLimiter<Reader, T extends QueuedChunk<Reader>> {
  readonly #bytesPerMs: number;
  /** Readers that wait, the next one first. */
  readonly #lines = new Map<Reader, Line<T>>();
  #freeAtMs: MonoMs = 0;
  #waiting = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Chunks that wait: asked for, and neither taken nor dropped. */
  get waiting(): number {
    return this.#waiting;
  }

  /** False when this reader has too many chunks waiting. */
  ask(chunk: T): boolean {
    const line = this.#lines.get(chunk.reader) ?? { chunks: [], credit: 0 };
    if (line.chunks.length >= LIMITS.queuedChunksPerReaderMax) return false;
    line.chunks.push(chunk);
    this.#lines.set(chunk.reader, line);
    this.#waiting += 1;
    return true;
  }

  /** The reader has left. @returns its chunks, which are not sent any more */
  drop(reader: Reader): T[] {
    const chunks = this.#lines.get(reader)?.chunks ?? [];
    this.#lines.delete(reader);
    this.#waiting -= chunks.length;
    return chunks;
  }

  /** The chunks to send now, in this order; their bytes are counted as spent. */
  take(now: MonoMs): T[] {
    const taken: T[] = [];
    while (this.#waiting > 0 && this.#freeAtMs <= now) {
      const chunk = this.#next();
      // An idle time gives no more credit than a burst, which makes up for a late timer.
      this.#freeAtMs = Math.max(this.#freeAtMs, now - LIMITS.rateBurstMs);
      this.#freeAtMs += chunk.bytes / this.#bytesPerMs;
      taken.push(chunk);
    }
    return taken;
  }

  /** Corrects the estimate by what was really sent. */
  settle(chunk: T, bytes: number): void {
    const saved = chunk.bytes - bytes;
    this.#freeAtMs -= saved / this.#bytesPerMs;
    const line = this.#lines.get(chunk.reader);
    if (line) line.credit += saved;
  }

  /** When `take` has a next chunk; null when none waits. */
  get wakeAtMs(): MonoMs | null {
    return this.#waiting === 0 ? null : this.#freeAtMs;
  }

  /** A reader with too little credit goes to the end with more of it, so the loop ends. */
  #next(): T {
    for (;;) {
      const [entry] = this.#lines;
      if (!entry) throw new TypeError('next chunk: nobody waits');
      const [reader, line] = entry;
      const [chunk] = line.chunks;
      if (chunk && chunk.bytes <= line.credit) {
        line.credit -= chunk.bytes;
        line.chunks.shift();
        if (line.chunks.length === 0) this.#lines.delete(reader);
        this.#waiting -= 1;
        return chunk;
      }
      line.credit += LIMITS.chunkBytesDefault;
      this.#lines.delete(reader);
      this.#lines.set(reader, line);
    }
  }
}
