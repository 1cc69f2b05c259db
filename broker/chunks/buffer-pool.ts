/**
 * Memory for chunks that is used again and again, in sizes of powers of two. What is taken stays
 * within a bound as long as the owner has something to drop; what is taken beyond it, because all
 * is in use, is let go when it comes back.
 */

import { LIMITS } from '../../shared/base/limits.ts';

export class Slabs {
  readonly #bytesMax: number;
  /** Gives something back, if there is anything that nobody uses. */
  readonly #drop: () => boolean;
  readonly #free = new Map<number, Buffer[]>();
  #bytes = 0;

  constructor(bytesMax: number, drop: () => boolean) {
    this.#bytesMax = bytesMax;
    this.#drop = drop;
  }

  /** All memory that was taken from the system and not let go. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns memory of at least that size, with whatever is in it */
  take(bytes: number): Buffer {
    const size = sizeFor(bytes);
    for (;;) {
      const free = this.#free.get(size)?.pop();
      if (free) return free;
      if (this.#bytes + size <= this.#bytesMax) break;
      if (!this.#letGoOne() && !this.#drop()) break;
    }
    this.#bytes += size;
    return Buffer.allocUnsafeSlow(size);
  }

  giveBack(slab: Buffer): void {
    const size = slab.byteLength;
    if (this.#bytes > this.#bytesMax) this.#bytes -= size;
    else {
      const free = this.#free.get(size);
      if (free) free.push(slab);
      else this.#free.set(size, [slab]);
    }
  }

  /** One of another size than is wanted, which has none. */
  #letGoOne(): boolean {
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
