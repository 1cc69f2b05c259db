/**
 * Counts claims that no record has, for each address and minute. A claim cannot be guessed; the
 * count bounds what guesses cost in the log. A good claim is never counted, so that robots behind
 * one address do not wait for a neighbour. Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { MonoMs } from '../../shared/base/ids.ts';

/** Addresses beyond the bound share one count. */
const OTHERS = 'others';

export class ClaimTries {
  readonly #misses = new Map<string, number>();
  #sinceMs: MonoMs = Number.NEGATIVE_INFINITY;

  /** False when this address has had its share of wrong claims for now. */
  mayMiss(from: string, nowMs: MonoMs): boolean {
    if (nowMs - this.#sinceMs >= LIMITS.claimTriesMs) {
      this.#misses.clear();
      this.#sinceMs = nowMs;
    }
    const isKnown = this.#misses.has(from) || this.#misses.size < LIMITS.claimTryAddressesMax;
    const address = isKnown ? from : OTHERS;
    const misses = (this.#misses.get(address) ?? 0) + 1;
    this.#misses.set(address, misses);
    return misses <= LIMITS.claimTriesMax;
  }
}
