/**
 * Notices that the announcement a robot goes by has expired while nothing came. A carrier that
 * holds newer ones back says nothing at all, so silence must be found out by the robot itself. It
 * looks at the wall clock again and again, because that may be put right meanwhile.
 */

import type { EpochMs } from '../../shared/ids.ts';
import { LIMITS } from '../../shared/limits.ts';

export class ExpiryWatch {
  readonly #now: () => EpochMs;
  readonly #onExpired: () => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(now: () => EpochMs, onExpired: () => void) {
    this.#now = now;
    this.#onExpired = onExpired;
  }

  /** The instant that counts from now on; it calls once when that has come. */
  follow(expiresAtMs: EpochMs): void {
    this.close();
    const waitMs = Math.max(0, expiresAtMs - this.#now());
    const look = (): void => {
      if (this.#now() >= expiresAtMs) this.#onExpired();
      else this.follow(expiresAtMs);
    };
    this.#timer = setTimeout(look, Math.min(waitMs, LIMITS.expiryLookMs));
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
