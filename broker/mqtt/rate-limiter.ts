/**
 * Decides whose chunk goes next when all readers together may take only so many bytes a second: a
 * bucket of bytes, and chunks of equal weight (deficit round robin), so that a robot that asks for
 * much takes nothing from one that asks for little.
 *
 * Pure: time is a parameter. It must never let more go than the rate, a burst and one chunk, never
 * hold a chunk back while the rate would let it go, and never serve a reader out of its order.
 * Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export interface QueuedChunk<Reader> {
  readonly reader: Reader;
  /** What it will take, as far as that is known. */
  readonly bytes: number;
}

interface Line<T> {
  readonly chunks: T[];
  /** Bytes that this reader may take before the others have had as many. */
  credit: number;
}

export class RateLimiter<Reader, T extends QueuedChunk<Reader>> {
  readonly #bytesPerMs: number;
  /** Readers that wait, in the order in which they are next. */
  readonly #lines = new Map<Reader, Line<T>>();
  #freeAtMs: MonoMs = 0;
  #waiting = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Chunks that were asked for and neither taken nor dropped. */
  get waiting(): number {
    return this.#waiting;
  }

  /** False when this reader waits for too much already. */
  ask(chunk: T): boolean {
    const line = this.#lines.get(chunk.reader) ?? { chunks: [], credit: 0 };
    if (line.chunks.length >= LIMITS.queuedChunksPerReaderMax) return false;
    line.chunks.push(chunk);
    this.#lines.set(chunk.reader, line);
    this.#waiting += 1;
    return true;
  }

  /** A reader that has left: its chunks, which nobody takes any more. */
  drop(reader: Reader): T[] {
    const chunks = this.#lines.get(reader)?.chunks ?? [];
    this.#lines.delete(reader);
    this.#waiting -= chunks.length;
    return chunks;
  }

  /** What goes now, in this order; its bytes are spent. */
  take(now: MonoMs): T[] {
    const taken: T[] = [];
    while (this.#waiting > 0 && this.#freeAtMs <= now) {
      const chunk = this.#next();
      // What nobody used while nobody waited is lost, but for what a late timer made of it.
      this.#freeAtMs = Math.max(this.#freeAtMs, now - LIMITS.rateBurstMs);
      this.#freeAtMs += chunk.bytes / this.#bytesPerMs;
      taken.push(chunk);
    }
    return taken;
  }

  /** It took other bytes than it was thought to. */
  settle(chunk: T, bytes: number): void {
    const saved = chunk.bytes - bytes;
    this.#freeAtMs -= saved / this.#bytesPerMs;
    const line = this.#lines.get(chunk.reader);
    if (line) line.credit += saved;
  }

  /** When `take` has something next; null while nobody waits. */
  get wakeAtMs(): MonoMs | null {
    return this.#waiting === 0 ? null : this.#freeAtMs;
  }

  /** A reader whose credit does not do goes to the end with more of it, so this ends. */
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
