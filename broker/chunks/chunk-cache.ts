/**
 * Caches recently read chunks in memory: robots of one rollout pull the same ones at the same time,
 * and one read serves them all. The buffers are reused: fresh ones made V8 collect garbage, which
 * took half of a broker's time. So bytes are borrowed and given back, and a borrower may neither
 * write into them nor keep them. A chunk that is removed through this store leaves the cache as
 * well.
 */

import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { PrunableChunkStore } from '../../shared/base/ports.ts';
import { BufferPool } from './buffer-pool.ts';

export interface CheckedChunkStore extends PrunableChunkStore {
  /** Like `get`, but into a buffer of at least that many bytes that the caller provides. */
  read(hash: Sha256Hex, allocate: (bytes: number) => Buffer): Promise<Uint8Array | null>;
  /** Hashes the chunk again, even when it is known to be whole; a damaged one is removed. */
  recheck(hash: Sha256Hex): Promise<void>;
}

export interface LentChunk {
  /** Shared with other borrowers: read-only, and valid until it is given back. */
  readonly bytes: Uint8Array;
  /** Idempotent. */
  giveBack(): void;
}

export interface ChunkCacheOptions {
  readonly chunks: CheckedChunkStore;
  readonly bytesMax: number;
}

interface Slot {
  readonly buffer: Buffer;
  readonly bytes: Uint8Array;
  borrowers: number;
  isKept: boolean;
}

interface Reading {
  borrowers: number;
  slot: Promise<Slot | null>;
}

export class ChunkCache implements CheckedChunkStore {
  readonly #chunks: CheckedChunkStore;
  readonly #pool: BufferPool;
  /** Least recently used first. */
  readonly #kept = new Map<Sha256Hex, Slot>();
  readonly #reading = new Map<Sha256Hex, Reading>();

  constructor({ chunks, bytesMax }: ChunkCacheOptions) {
    this.#chunks = chunks;
    this.#pool = new BufferPool(bytesMax, () => this.#dropOldest());
  }

  get bytesStored(): number {
    return this.#chunks.bytesStored;
  }

  get chunksStored(): number {
    return this.#chunks.chunksStored;
  }

  has(hash: Sha256Hex): Promise<boolean> {
    return this.#chunks.has(hash);
  }

  /** For a caller that keeps the bytes: they are read for this call alone. */
  get(hash: Sha256Hex): Promise<Uint8Array | null> {
    return this.#chunks.get(hash);
  }

  read(hash: Sha256Hex, allocate: (bytes: number) => Buffer): Promise<Uint8Array | null> {
    return this.#chunks.read(hash, allocate);
  }

  put(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    return this.#chunks.put(hash, bytes);
  }

  /** Null when it is not stored, as with `get`. */
  async borrow(hash: Sha256Hex): Promise<LentChunk | null> {
    const kept = this.#kept.get(hash);
    if (kept) {
      this.#kept.delete(hash);
      this.#kept.set(hash, kept);
      kept.borrowers += 1;
      return this.#lend(kept);
    }
    const running = this.#reading.get(hash);
    if (running) running.borrowers += 1;
    const slot = await (running ?? this.#begin(hash)).slot;
    return slot && this.#lend(slot);
  }

  async remove(hash: Sha256Hex, mayRemove?: () => boolean): Promise<number> {
    try {
      return await this.#chunks.remove(hash, mayRemove);
    } finally {
      this.#forget(hash);
    }
  }

  list(): AsyncIterable<readonly Sha256Hex[]> {
    return this.#chunks.list();
  }

  /** A robot got the chunk and asks again: the copy in memory may be what is damaged. */
  async recheck(hash: Sha256Hex): Promise<void> {
    this.#forget(hash);
    await this.#chunks.recheck(hash);
  }

  #begin(hash: Sha256Hex): Reading {
    const reading: Reading = { borrowers: 1, slot: Promise.resolve(null) };
    reading.slot = this.#fill(hash, reading).finally(() => {
      if (this.#reading.get(hash) === reading) this.#reading.delete(hash);
    });
    this.#reading.set(hash, reading);
    return reading;
  }

  async #fill(hash: Sha256Hex, reading: Reading): Promise<Slot | null> {
    let buffer: Buffer | null = null;
    let bytes: Uint8Array | null = null;
    try {
      bytes = await this.#chunks.read(hash, (size) => (buffer = this.#pool.take(size)));
    } finally {
      if (!bytes && buffer) this.#pool.giveBack(buffer);
    }
    if (!bytes || !buffer) return null;
    const isKept = this.#reading.get(hash) === reading; // else it was removed meanwhile
    // Counted before a waiting caller goes on, so that the buffer is not reused under it.
    const slot: Slot = { buffer, bytes, borrowers: reading.borrowers, isKept };
    if (isKept) {
      this.#reading.delete(hash);
      this.#kept.set(hash, slot);
    }
    return slot;
  }

  #lend(slot: Slot): LentChunk {
    let isBack = false;
    return {
      bytes: slot.bytes,
      giveBack: () => {
        if (isBack) return;
        isBack = true;
        slot.borrowers -= 1;
        this.#reuse(slot);
      },
    };
  }

  /** Also while it is being read: callers that wait get the bytes, later ones do not. */
  #forget(hash: Sha256Hex): void {
    this.#reading.delete(hash);
    const slot = this.#kept.get(hash);
    if (!slot) return;
    this.#kept.delete(hash);
    slot.isKept = false;
    this.#reuse(slot);
  }

  /** @returns false when every cached chunk is borrowed */
  #dropOldest(): boolean {
    for (const [hash, slot] of this.#kept) {
      if (slot.borrowers > 0) continue;
      this.#forget(hash);
      return true;
    }
    return false;
  }

  #reuse(slot: Slot): void {
    if (slot.borrowers === 0 && !slot.isKept) this.#pool.giveBack(slot.buffer);
  }
}
