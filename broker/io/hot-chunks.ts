/**
 * Chunks that were read a moment ago, in memory: robots of one rollout pull the same ones at the
 * same time, and one reading serves them all. Reads of a chunk that are under way are joined. The
 * buffers are shared by every reader, so nobody may write into one.
 */

import type { Sha256Hex } from '../../shared/ids.ts';
import type { ChunkStore } from '../../shared/ports.ts';

export interface CheckedChunkStore extends ChunkStore {
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

  has(hash: Sha256Hex): Promise<boolean> {
    return this.#options.chunks.has(hash);
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
    const reading = this.#read(hash).finally(() => this.#reading.delete(hash));
    this.#reading.set(hash, reading);
    return reading;
  }

  /** Somebody got it and wants it again: what is kept in memory may be what is wrong with it. */
  async recheck(hash: Sha256Hex): Promise<void> {
    this.forget(hash);
    await this.#options.chunks.recheck(hash);
  }

  /** It is no longer in the store. */
  forget(hash: Sha256Hex): void {
    this.#bytes -= this.#kept.get(hash)?.byteLength ?? 0;
    this.#kept.delete(hash);
  }

  async #read(hash: Sha256Hex): Promise<Uint8Array | null> {
    const bytes = await this.#options.chunks.get(hash);
    if (!bytes) return null;
    this.#options.onRead(bytes.byteLength);
    this.#kept.set(hash, bytes);
    this.#bytes += bytes.byteLength;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#options.bytesMax) break;
      this.forget(oldest);
    }
    return bytes;
  }
}
