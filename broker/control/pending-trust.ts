/**
 * Trust updates that came before the one that they follow, since retained messages come in any
 * order. Nothing of them is verified yet, so there are few: the longest unneeded makes room.
 * Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';

export class LaterTrusts {
  readonly #kept = new Map<number, Uint8Array>();

  keep(version: number, update: Uint8Array): void {
    this.#kept.delete(version);
    this.#kept.set(version, update);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > LIMITS.trustUpdatesAheadMax && oldest !== undefined) {
      this.#kept.delete(oldest);
    }
  }

  /** Hands it out once; null when it has not come. */
  take(version: number): Uint8Array | null {
    const update = this.#kept.get(version) ?? null;
    this.#kept.delete(version);
    return update;
  }
}
