/**
 * Chunks that were read a moment ago, in memory: robots of one rollout pull the same ones at the
 * same time, and one reading serves them all. Reads of a chunk that are under way are joined. The
 * buffers are shared by every reader, so nobody may write into one. It lies between the disk and who
 * removes: what is removed through it is forgotten with it.
 */

import type { Sha256Hex } from '../../shared/ids.ts';
import type { PrunableChunkStore } from '../../shared/ports.ts';

export interface CheckedChunkStore extends PrunableChunkStore {
  /** Hashes it again, whatever is known of it; one that is damaged is removed. */
  recheck(hash: Sha256Hex): Promise<void>;
}

export interface HotChunksOptions {
  readonly chunks: CheckedChunkStore;
  readonly bytesMax: number;
  /** Bytes that came from the disk, and so will be garbage. */
  onRead(bytes: number): void;
}

export class HotChunks implements CheckedChunkStore {
  readonly #options: HotChunksOptions;
  /** The longest unused first. */
  readonly #kept = new Map<Sha256Hex, Uint8Array>();
  readonly #reading = new Map<Sha256Hex, Promise<Uint8Array | null>>();
  #bytes = 0;

  constructor(options: HotChunksOptions) {
    this.#options = options;
  }

  get bytesStored(): number {
    return this.#options.chunks.bytesStored;
  }

  get chunksStored(): number {
    return this.#options.chunks.chunksStored;
  }

  has(hash: Sha256Hex): Promise<boolean> {
    return this.#options.chunks.has(hash);
  }

  put(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    return this.#options.chunks.put(hash, bytes);
  }

  async remove(hash: Sha256Hex, mayRemove?: () => boolean): Promise<number> {
    try {
      return await this.#options.chunks.remove(hash, mayRemove);
    } finally {
      this.#forget(hash);
    }
  }

  list(): AsyncIterable<readonly Sha256Hex[]> {
    return this.#options.chunks.list();
  }

  async get(hash: Sha256Hex): Promise<Uint8Array | null> {
    const kept = this.#kept.get(hash);
    if (kept) {
      this.#kept.delete(hash);
      this.#kept.set(hash, kept);
      return kept;
    }
    const running = this.#reading.get(hash);
    if (running) return running;
    const reading: Promise<Uint8Array | null> = this.#read(hash, () => {
      return this.#reading.get(hash) === reading;
    }).finally(() => {
      if (this.#reading.get(hash) === reading) this.#reading.delete(hash);
    });
    this.#reading.set(hash, reading);
    return reading;
  }

  /** Somebody got it and wants it again: what is kept in memory may be what is wrong with it. */
  async recheck(hash: Sha256Hex): Promise<void> {
    this.#forget(hash);
    await this.#options.chunks.recheck(hash);
  }

  /** Also what is being read: those who wait get it, and nobody after them. */
  #forget(hash: Sha256Hex): void {
    this.#reading.delete(hash);
    this.#bytes -= this.#kept.get(hash)?.byteLength ?? 0;
    this.#kept.delete(hash);
  }

  async #read(hash: Sha256Hex, mayKeep: () => boolean): Promise<Uint8Array | null> {
    const bytes = await this.#options.chunks.get(hash);
    if (!bytes) return null;
    this.#options.onRead(bytes.byteLength);
    if (!mayKeep()) return bytes;
    this.#kept.set(hash, bytes);
    this.#bytes += bytes.byteLength;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#options.bytesMax) break;
      this.#forget(oldest);
    }
    return bytes;
  }
}
