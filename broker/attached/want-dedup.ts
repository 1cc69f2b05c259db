/**
 * Decides which requested chunks are published again now. A whole fleet may miss one chunk at once,
 * and the first answer reaches all robots, so the same chunk is published again only after a while.
 * This also bounds the work that a client can cause which requests every chunk. Sans-I/O.
 */

import type { MonoMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export class WantLedger {
  /** Oldest answer first. */
  readonly #answeredMs = new Map<Sha256Hex, MonoMs>();

  /** Returns the requested chunks to publish; they count as answered from now on. */
  take(wanted: readonly Sha256Hex[], now: MonoMs): Sha256Hex[] {
    for (const [hash, atMs] of this.#answeredMs) {
      if (now - atMs < LIMITS.wantAnswerMsMin) break;
      this.#answeredMs.delete(hash);
    }
    const due: Sha256Hex[] = [];
    for (const hash of wanted) {
      if (this.#answeredMs.has(hash)) continue;
      // The table is full: that many answers are already being sent.
      if (this.#answeredMs.size >= LIMITS.wantAnswersMax) break;
      this.#answeredMs.set(hash, now);
      due.push(hash);
    }
    return due;
  }
}
