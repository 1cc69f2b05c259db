/**
 * Topic filters that stay subscribed over reconnects, and the question "have all retained messages
 * arrived?", which MQTT 3.1.1 cannot answer: they have when nothing came for a time that follows
 * the round trip of the link.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { BrokerLink } from '../transfer/broker-link.ts';

export interface SubscriptionOptions {
  readonly filters: readonly string[];
  /** `payload` is a view: copy what is kept. Other subscriptions' messages come here as well. */
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
}

const ROUND_TRIPS_OF_QUIET = 4;

export class Subscription {
  readonly #link: BrokerLink;
  readonly #filters: readonly string[];
  readonly #stop: () => void;
  #failure: DroverError | null = null;
  #lastAtMs = Date.now();
  #roundTripMs = 0;

  private constructor(link: BrokerLink, options: SubscriptionOptions) {
    this.#link = link;
    this.#filters = options.filters;
    this.#stop = link.listen({
      onMessage: (topic, payload) => {
        this.#lastAtMs = Date.now();
        options.onMessage(topic, payload);
      },
      onUp: () => {
        this.#subscribe().catch((error: unknown) => this.#onLost(error));
      },
    });
  }

  /** @throws DroverError ACCESS_DENIED, BROKER_UNREACHABLE */
  static async open(link: BrokerLink, options: SubscriptionOptions): Promise<Subscription> {
    const subscription = new Subscription(link, options);
    try {
      await subscription.#subscribe();
    } catch (error) {
      subscription.#stop();
      throw error;
    }
    return subscription;
  }

  async #subscribe(): Promise<void> {
    const startedAtMs = Date.now();
    await this.#link.wire.subscribe(this.#filters, 1);
    this.#lastAtMs = Date.now();
    this.#roundTripMs = this.#lastAtMs - startedAtMs;
  }

  #onLost(error: unknown): void {
    // A lost link brings the next `onUp`; anything else will not heal by itself.
    if (!(error instanceof DroverError) || error.code === 'BROKER_UNREACHABLE') return;
    this.#failure = error;
  }

  /**
   * Resolves when no message came for `quietMs` or four round trips, at the latest after
   * `retainedWaitMsMax`.
   * @returns false when messages were still arriving
   */
  async settle(): Promise<boolean> {
    const startedAtMs = Date.now();
    for (;;) {
      if (this.#failure) throw this.#failure;
      const now = Date.now();
      const quietMs = Math.max(LIMITS.quietMs, this.#roundTripMs * ROUND_TRIPS_OF_QUIET);
      if (this.#link.wire.isUp && now - this.#lastAtMs >= quietMs) return true;
      if (now - startedAtMs >= LIMITS.retainedWaitMsMax) return false;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /**
   * Requests the retained messages once more.
   * @param onSilent called when no message of the old subscription can arrive any more
   */
  async again(onSilent: () => void): Promise<void> {
    await this.#link.wire.unsubscribe(this.#filters);
    onSilent();
    await this.#subscribe();
  }

  close(): void {
    this.#stop();
  }
}
