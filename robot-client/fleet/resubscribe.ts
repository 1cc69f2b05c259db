/**
 * Does something about silence. A carrier that holds newer orders back says nothing at all, and an
 * engine that was restarted may have forgotten to whom it delivers, so a robot has to find out by
 * itself: it asks for its orders anew now and then, which brings what is retained, and notices when
 * the announcement that it goes by has expired. It looks at the wall clock again and again for
 * that, because that may be put right meanwhile.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export interface OrdersWatchOptions {
  now(): EpochMs;
  onExpired(): void;
  /** Asks the broker, if there is a link to one. */
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

  /** Robots that started at one instant do not ask at one instant. */
  start(): void {
    const waitMs = LIMITS.ordersLookMs * (0.75 + Math.random() / 2);
    this.#next = setTimeout(() => {
      this.#options.ask();
      this.start();
    }, waitMs);
  }

  /** The instant that counts from now on; `onExpired` is called once when that has come. */
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
