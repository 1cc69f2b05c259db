/**
 * Who asked for which chunk and may still be waiting for it. A chunk that comes is never queued for
 * who is away: it is asked for again when it is missed.
 */

import type { Client } from 'aedes';
import type { Sha256Hex } from '../../shared/ids.ts';
import { chunkOfFilter } from '../../shared/topics.ts';

export class ChunkWaiters {
  /** Bounded by the subscriptions that each client may have. */
  readonly #waiting = new Map<Sha256Hex, Set<Client>>();
  readonly #asked = new WeakMap<Client, Set<Sha256Hex>>();

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

  of(hash: Sha256Hex): readonly Client[] {
    return [...(this.#waiting.get(hash) ?? [])];
  }

  #forget(client: Client, hash: Sha256Hex): void {
    const waiting = this.#waiting.get(hash);
    if (!waiting?.delete(client)) return;
    this.#asked.get(client)?.delete(hash);
    if (waiting.size === 0) this.#waiting.delete(hash);
  }
}
