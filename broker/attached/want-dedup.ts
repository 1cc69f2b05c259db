/**
 * Decides which wanted chunks are published again now. A whole fleet may miss one chunk at once,
 * and the answer to the first of them is an answer to all: the same chunk goes out again only after
 * a while, and a stranger who asks for everything cannot keep us busy. Sans-I/O.
 */

import type { MonoMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export class WantLedger {
  /** Oldest answer first. */
  readonly #answeredMs = new Map<Sha256Hex, MonoMs>();

  /** Of those that are wanted, the ones to answer; they count as answered from now on. */
  take(wanted: readonly Sha256Hex[], now: MonoMs): Sha256Hex[] {
    for (const [hash, atMs] of this.#answeredMs) {
      if (now - atMs < LIMITS.wantAnswerMsMin) break;
      this.#answeredMs.delete(hash);
    }
    const due: Sha256Hex[] = [];
    for (const hash of wanted) {
      if (this.#answeredMs.has(hash)) continue;
      // Full: that many answers within so short a time are under way already.
      if (this.#answeredMs.size >= LIMITS.wantAnswersMax) break;
      this.#answeredMs.set(hash, now);
      due.push(hash);
    }
    return due;
  }
}
