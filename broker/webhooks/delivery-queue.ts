/**
 * Deliveries of one webhook: which one is sent next, when it is tried again, and which ones are
 * given up. A delivery that fails does not hold up the others. The queue is bounded: the oldest
 * delivery makes room, because the newest decision is the one that a person needs. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { backoffMs, type BackoffBounds } from '../../shared/base/backoff.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export type DeliveryState = 'waiting' | 'delivered' | 'given_up' | 'dropped';
export type DeliveryOutcome = Exclude<DeliveryState, 'waiting'>;

/** One message to one receiver. */
export interface Message {
  /** The same at each attempt, so that a receiver knows a message that it has. */
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly body: string;
}

/** The answer to an attempt: an HTTP status, or the reason why there is none. */
export type Answer = { readonly status: number } | { readonly failure: string };

/** A delivery as the API shows it. */
export interface DeliveryView {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly made_at: string;
  /** The last attempt; null before the first one. */
  readonly tried_at: string | null;
  /** HTTP status of the last attempt; null when there was no answer. */
  readonly status: number | null;
  readonly problem: string | null;
}

interface Delivery {
  readonly message: Message;
  view: DeliveryView;
  dueMs: MonoMs;
}

export interface DeliveryCounts {
  readonly delivered: number;
  readonly given_up: number;
  readonly dropped: number;
}

export class DeliveryQueue {
  readonly #bounds: BackoffBounds;
  #waiting: Delivery[] = [];
  readonly #ended: DeliveryView[] = [];
  readonly #counts: Record<DeliveryOutcome, number> = { delivered: 0, given_up: 0, dropped: 0 };

  constructor(bounds: BackoffBounds) {
    this.#bounds = bounds;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get counts(): DeliveryCounts {
    return { ...this.#counts };
  }

  /** @returns the delivery that was dropped for it; null for none */
  add(message: Message, now: { mono: MonoMs; epoch: EpochMs }): Message | null {
    const { id, type, subject } = message;
    const view: DeliveryView = {
      ...{ id, type, subject, state: 'waiting', attempts: 0, made_at: instantText(now.epoch) },
      ...{ tried_at: null, status: null, problem: null },
    };
    this.#waiting.push({ message, view, dueMs: now.mono });
    if (this.#waiting.length <= LIMITS.webhookWaitingMax) return null;
    const oldest = this.#waiting.shift();
    if (!oldest) return null;
    this.#end(oldest, 'dropped');
    return oldest.message;
  }

  /** The delivery that is due first, and in how many milliseconds; null when none waits. */
  next(now: MonoMs): { readonly message: Message; readonly inMs: number } | null {
    const [first, ...others] = this.#waiting;
    if (!first) return null;
    const due = others.reduce((best, one) => (one.dueMs < best.dueMs ? one : best), first);
    return { message: due.message, inMs: Math.max(0, due.dueMs - now) };
  }

  /**
   * Takes the answer to an attempt.
   * @param random uniform in [0, 1)
   * @returns how it ended; null when it is tried again, or was dropped meanwhile
   */
  settle(
    id: string,
    answer: Answer,
    { now, random }: { now: { mono: MonoMs; epoch: EpochMs }; random: number },
  ): DeliveryOutcome | null {
    const one = this.#waiting.find(({ message }) => message.id === id);
    if (!one) return null;
    const status = 'status' in answer ? answer.status : null;
    const attempts = one.view.attempts + 1;
    const problem = problemOf(answer);
    one.view = { ...one.view, attempts, tried_at: instantText(now.epoch), status, problem };
    const outcome = outcomeOf(status, attempts);
    if (outcome === null) {
      one.dueMs = now.mono + backoffMs(attempts - 1, this.#bounds, random);
      return null;
    }
    this.#waiting = this.#waiting.filter((other) => other !== one);
    this.#end(one, outcome);
    return outcome;
  }

  /** Newest first. */
  list(): DeliveryView[] {
    const open = this.#waiting.map(({ view }) => view);
    return [...this.#ended, ...open].slice(-LIMITS.webhookDeliveriesShown).reverse();
  }

  #end({ view }: Delivery, state: DeliveryOutcome): void {
    this.#counts[state] += 1;
    this.#ended.push({ ...view, state });
    if (this.#ended.length > LIMITS.webhookDeliveriesShown) this.#ended.shift();
  }
}

/** A receiver that answers 410 wants no more of it. */
function outcomeOf(status: number | null, attempts: number): DeliveryOutcome | null {
  if (status !== null && status >= 200 && status < 300) return 'delivered';
  if (status === 410 || attempts >= LIMITS.webhookAttemptsMax) return 'given_up';
  return null;
}

function problemOf(answer: Answer): string | null {
  if ('failure' in answer) return answer.failure;
  const { status } = answer;
  if (status >= 200 && status < 300) return null;
  const isRedirect = status >= 300 && status < 400;
  return isRedirect ? `HTTP status ${status}: redirects are not followed` : `HTTP status ${status}`;
}
