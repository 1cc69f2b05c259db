/**
 * Who asked for which chunk and may still be waiting for it, and the hand that gives it. A chunk
 * goes straight to its reader and is never queued for one: it is asked for again when it is missed.
 */

import type { Client } from 'aedes';
import type { Sha256Hex } from '../../shared/ids.ts';
import { LIMITS } from '../../shared/limits.ts';
import type { ChunkStore, Log } from '../../shared/ports.ts';
import { chunkOfFilter, chunkTopic } from '../../shared/topics.ts';
import { bytesUnsent, handTo } from './aedes-client.ts';

export class ChunkWaiters {
  readonly #chunks: ChunkStore;
  readonly #log: Log;
  /** Bounded by the subscriptions that each client may have. */
  readonly #waiting = new Map<Sha256Hex, Set<Client>>();
  readonly #asked = new WeakMap<Client, Set<Sha256Hex>>();
  readonly #delivering = new Set<string>();

  constructor(chunks: ChunkStore, log: Log) {
    this.#chunks = chunks;
    this.#log = log;
  }

  /** @param filter of any kind; one that names no chunk is nobody's wish */
  add(client: Client, filter: string): void {
    const hash = chunkOfFilter(filter);
    if (hash === null) return;
    this.#waiting.set(hash, (this.#waiting.get(hash) ?? new Set<Client>()).add(client));
    this.#asked.set(client, (this.#asked.get(client) ?? new Set<Sha256Hex>()).add(hash));
  }

  remove(client: Client, filter: string): void {
    const hash = chunkOfFilter(filter);
    if (hash !== null) this.#forget(client, hash);
  }

  removeAll(client: Client): void {
    for (const hash of [...(this.#asked.get(client) ?? [])]) this.#forget(client, hash);
  }

  /** To all who wait for it. */
  async deliver(hash: Sha256Hex): Promise<void> {
    for (const client of [...(this.#waiting.get(hash) ?? [])]) await this.#give(client, hash);
  }

  #forget(client: Client, hash: Sha256Hex): void {
    const waiting = this.#waiting.get(hash);
    if (!waiting?.delete(client)) return;
    this.#asked.get(client)?.delete(hash);
    if (waiting.size === 0) this.#waiting.delete(hash);
  }

  async #give(client: Client, hash: Sha256Hex): Promise<void> {
    const key = `${client.id} ${hash}`;
    if (this.#delivering.has(key) || bytesUnsent(client) > LIMITS.windowBytesMax) return;
    this.#delivering.add(key);
    try {
      const payload = await this.#chunks.get(hash);
      if (!payload) return;
      await handTo(client, { topic: chunkTopic(hash), payload: asBuffer(payload), qos: 1 });
    } catch (error) {
      this.#log.error({ error: String(error), hash }, 'chunk could not be delivered');
    } finally {
      this.#delivering.delete(key);
    }
  }
}

/** The same memory: the bytes are shared by all readers of the chunk. */
const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
