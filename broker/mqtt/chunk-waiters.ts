/**
 * Remembers which clients wait for which chunk. A chunk is never queued for an absent client: that
 * client asks again.
 */

import type { Client } from 'aedes';
import type { Sha256Hex } from '../../shared/base/ids.ts';

export class ChunkWaiters {
  /** Bounded by the subscriptions that each client may have. */
  readonly #waiting = new Map<Sha256Hex, Set<Client>>();
  readonly #asked = new WeakMap<Client, Set<Sha256Hex>>();

  add(client: Client, hash: Sha256Hex): void {
    const waiting = this.#waiting.get(hash);
    if (waiting) waiting.add(client);
    else this.#waiting.set(hash, new Set([client]));
    const asked = this.#asked.get(client);
    if (asked) asked.add(hash);
    else this.#asked.set(client, new Set([hash]));
  }

  has(client: Client, hash: Sha256Hex): boolean {
    return this.#asked.get(client)?.has(hash) === true;
  }

  remove(client: Client, hash: Sha256Hex): void {
    const waiting = this.#waiting.get(hash);
    if (!waiting?.delete(client)) return;
    this.#asked.get(client)?.delete(hash);
    if (waiting.size === 0) this.#waiting.delete(hash);
  }

  removeAll(client: Client): void {
    for (const hash of [...(this.#asked.get(client) ?? [])]) this.remove(client, hash);
  }

  of(hash: Sha256Hex): readonly Client[] {
    return [...(this.#waiting.get(hash) ?? [])];
  }
}
