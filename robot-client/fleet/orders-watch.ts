/**
 * Detects missing messages. A carrier that delays newer orders sends nothing, and an engine that
 * was restarted may have lost its subscriptions, so a robot has to detect this by itself. It
 * subscribes again periodically, which brings the retained messages (MQTT 3.1.1, 3.8.4), and
 * notices when its announcement has expired. For that it reads the wall clock at each check,
 * because the clock may be corrected meanwhile.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { JitteredTimer } from '../../shared/io/wait-up.ts';

export interface OrdersWatchOptions {
  now(): EpochMs;
  /** Time between two checks in ms; default `ordersLookMs`. */
  readonly lookMs?: number | undefined;
  /**
   * True while a rollout runs or was accepted recently: a stop or a recall is likely then, and must
   * not wait.
   */
  isWatched(): boolean;
  onExpired(): void;
  /** Subscribes again, if there is a link. */
  ask(): void;
}

/** [P-5.9] */
export class OrdersWatch {
  readonly #options: OrdersWatchOptions;
  #expiry: NodeJS.Timeout | null = null;
  readonly #timer = new JitteredTimer();
  #looksUnasked = 0;
  /** Announcements still arrive while the agent closes: they must start no timer. */
  #isClosed = false;

  constructor(options: OrdersWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { lookMs = LIMITS.ordersLookMs, isWatched, ask } = this.#options;
    this.#timer.start(lookMs, () => {
      this.#looksUnasked += 1;
      if (!isWatched() && this.#looksUnasked < LIMITS.ordersIdleLooks) return;
      this.#looksUnasked = 0;
      ask();
    });
  }

  /** Sets the expiry to watch; `onExpired` is called once when it is reached. */
  follow(expiresAtMs: EpochMs): void {
    const { now, onExpired } = this.#options;
    if (this.#expiry) clearTimeout(this.#expiry);
    if (this.#isClosed) return;
    const waitMs = Math.max(0, expiresAtMs - now());
    const look = (): void => {
      if (now() >= expiresAtMs) onExpired();
      else this.follow(expiresAtMs);
    };
    this.#expiry = setTimeout(look, Math.min(waitMs, LIMITS.expiryLookMs));
  }

  close(): void {
    this.#isClosed = true;
    if (this.#expiry) clearTimeout(this.#expiry);
    this.#timer.close();
  }
}
