/**
 * Acts against silence: subscribes again at intervals and notices an expired announcement. A
 * carrier that withholds newer orders sends nothing at all, and a restarted engine may have
 * forgotten its subscribers; a new subscription brings the retained messages. The expiry is checked
 * against the wall clock again and again, because that may be corrected meanwhile.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export interface OrdersWatchOptions {
  now(): EpochMs;
  onExpired(): void;
  /** Subscribes again, if there is a link. */
  ask(): void;
}

/** [P-5.9] */
export class OrdersWatch {
  readonly #options: OrdersWatchOptions;
  #expiry: NodeJS.Timeout | null = null;
  #next: NodeJS.Timeout | null = null;

  constructor(options: OrdersWatchOptions) {
    this.#options = options;
  }

  /** Robots that started at one instant do not subscribe at one instant. */
  start(): void {
    const waitMs = LIMITS.ordersLookMs * (0.75 + Math.random() / 2);
    this.#next = setTimeout(() => {
      this.#options.ask();
      this.start();
    }, waitMs);
  }

  /** The expiry that counts from now on; `onExpired` is called once when it is reached. */
  follow(expiresAtMs: EpochMs): void {
    const { now, onExpired } = this.#options;
    if (this.#expiry) clearTimeout(this.#expiry);
    const waitMs = Math.max(0, expiresAtMs - now());
    const look = (): void => {
      if (now() >= expiresAtMs) onExpired();
      else this.follow(expiresAtMs);
    };
    this.#expiry = setTimeout(look, Math.min(waitMs, LIMITS.expiryLookMs));
  }

  close(): void {
    if (this.#expiry) clearTimeout(this.#expiry);
    if (this.#next) clearTimeout(this.#next);
  }
}
