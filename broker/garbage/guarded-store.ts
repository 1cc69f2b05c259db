/**
 * A chunk store whose uses all go through a garbage collector, and which asks the collector for
 * room when the disk is full. Nothing else may use the store underneath: a chunk could then be
 * removed between two checks of it.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { WritableChunkStore } from '../../shared/base/ports.ts';

/** The part of GarbageCollector that a store needs. */
export interface ChunkTender {
  use<T>(hash: Sha256Hex, work: () => Promise<T>): Promise<T>;
  makeRoom(bytes: number): Promise<boolean>;
}

const FULL: readonly string[] = ['STORE_FULL', 'DISK_FULL'];

export class TendedChunks implements WritableChunkStore {
  readonly #store: WritableChunkStore;
  readonly #tender: ChunkTender;

  constructor(store: WritableChunkStore, tender: ChunkTender) {
    this.#store = store;
    this.#tender = tender;
  }

  async has(hash: Sha256Hex): Promise<boolean> {
    return await this.#tender.use(hash, () => this.#store.has(hash));
  }

  async get(hash: Sha256Hex): Promise<Uint8Array | null> {
    return await this.#tender.use(hash, () => this.#store.get(hash));
  }

  async put(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    await this.#tender.use(hash, () => this.#put(hash, bytes));
  }

  async #put(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    try {
      await this.#store.put(hash, bytes);
    } catch (error) {
      const isFull = error instanceof DroverError && FULL.includes(error.code);
      if (!isFull || !(await this.#tender.makeRoom(bytes.byteLength))) throw error;
      await this.#store.put(hash, bytes);
    }
  }
}
