/**
 * A pool of buffers for chunks, in sizes of powers of two. The memory stays within a bound as long
 * as the owner has something to drop. When everything is in use, a buffer beyond the bound is made,
 * and freed when it is given back.
 */

import { LIMITS } from '../../shared/base/limits.ts';

export class BufferPool {
  readonly #bytesMax: number;
  /** Gives one unused buffer back; false when there is none. */
  readonly #drop: () => boolean;
  readonly #free = new Map<number, Buffer[]>();
  #bytes = 0;

  constructor(bytesMax: number, drop: () => boolean) {
    this.#bytesMax = bytesMax;
    this.#drop = drop;
  }

  /** All memory that was taken from the system and not freed. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns a buffer of at least that size, with arbitrary content */
  take(bytes: number): Buffer {
    const size = sizeFor(bytes);
    for (;;) {
      const free = this.#free.get(size)?.pop();
      if (free) return free;
      if (this.#bytes + size <= this.#bytesMax) break;
      if (!this.#freeOne() && !this.#drop()) break;
    }
    this.#bytes += size;
    return Buffer.allocUnsafeSlow(size);
  }

  giveBack(buffer: Buffer): void {
    const size = buffer.byteLength;
    if (this.#bytes > this.#bytesMax) this.#bytes -= size;
    else {
      const free = this.#free.get(size);
      if (free) free.push(buffer);
      else this.#free.set(size, [buffer]);
    }
  }

  /** Frees a buffer of another size, when the wanted size has none. */
  #freeOne(): boolean {
    for (const [size, free] of this.#free) {
      if (!free.pop()) continue;
      this.#bytes -= size;
      return true;
    }
    return false;
  }
}

function sizeFor(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(bytes, LIMITS.chunkBytesMin)));
}
