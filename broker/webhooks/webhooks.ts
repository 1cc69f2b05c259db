/**
 * Sends decisions that are for a person to the receivers of `--webhook`. Each receiver has a queue
 * and a loop of its own, so that one that is slow or gone delays neither a rollout nor another
 * receiver. Deliveries that wait when the broker stops are lost: the history of the rollout has
 * the decision.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { BackoffBounds } from '../../shared/base/backoff.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { countOf } from '../../shared/base/printable.ts';
import type { Log } from '../../shared/base/ports.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import {
  DeliveryQueue,
  type DeliveryCounts,
  type DeliveryView,
  type Message,
  type DeliveryOutcome,
} from './delivery-queue.ts';
import { postMessage, shownUrl, type WebhookTarget } from './post-message.ts';

export interface WebhooksOptions {
  readonly targets: readonly WebhookTarget[];
  onOutcome(outcome: DeliveryOutcome): void;
  readonly log: Log;
  readonly times?: WebhookTimes;
}

export interface WebhookTimes {
  /** Until a receiver has answered. */
  readonly timeoutMs: number;
  /** Bounds of the wait between two attempts. */
  readonly retry: BackoffBounds;
}

const DEFAULT_TIMES: WebhookTimes = {
  timeoutMs: LIMITS.webhookMsMax,
  retry: { minMs: LIMITS.webhookRetryMsMin, maxMs: LIMITS.webhookRetryMsMax },
};

/** An entry of the history of a rollout; all of its fields are sent. */
export interface ToldEntry {
  readonly rollout: string;
  readonly seq: number;
  readonly at: string;
  readonly kind: string;
}

export interface WebhookView extends DeliveryCounts {
  readonly url: string;
  readonly waiting: number;
  readonly deliveries: readonly DeliveryView[];
}

export class Webhooks {
  readonly #receivers: readonly Receiver[];

  constructor(options: WebhooksOptions) {
    this.#receivers = options.targets.map((target) => new Receiver(target, options));
  }

  send(entry: ToldEntry): void {
    const message = messageOf(entry);
    for (const one of this.#receivers) one.add(message);
  }

  view(): WebhookView[] {
    return this.#receivers.map((one) => one.view());
  }

  async close(): Promise<void> {
    await Promise.all(this.#receivers.map((one) => one.close()));
  }
}

/** A repeated entry has the same id, also from another broker that took over. */
function messageOf(entry: ToldEntry): Message {
  const { rollout, seq, at, kind } = entry;
  const id = `msg_${sha256Hex(utf8(`${rollout} ${seq} ${at}`)).slice(0, 32)}`;
  const type = `rollout.${kind}`;
  const body = JSON.stringify({ type, timestamp: at, data: entry });
  return { id, type, subject: rollout, body };
}

class Receiver {
  readonly #target: WebhookTarget;
  readonly #options: WebhooksOptions;
  readonly #times: WebhookTimes;
  readonly #queue: DeliveryQueue;
  readonly #stop = new AbortController();
  /** Ends the wait of the loop: there is something new to send. */
  #wake = new AbortController();
  #working: Promise<void> | null = null;

  constructor(target: WebhookTarget, options: WebhooksOptions) {
    this.#target = target;
    this.#options = options;
    this.#times = options.times ?? DEFAULT_TIMES;
    this.#queue = new DeliveryQueue(this.#times.retry);
  }

  add(message: Message): void {
    if (this.#stop.signal.aborted) return;
    const { log, onOutcome } = this.#options;
    const dropped = this.#queue.add(message, nowOf());
    if (dropped) {
      onOutcome('dropped');
      log.error({ url: this.#shown, id: dropped.id }, 'webhook: oldest delivery dropped');
    }
    this.#wake.abort();
    this.#run();
  }

  view(): WebhookView {
    const { waiting, counts } = this.#queue;
    return { url: this.#shown, waiting, ...counts, deliveries: this.#queue.list() };
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#working;
    const { waiting } = this.#queue;
    if (waiting === 0) return;
    const lost = countOf(waiting, 'delivery', 'deliveries');
    this.#options.log.warn({ url: this.#shown, waiting }, `webhook: stopped with ${lost} to make`);
  }

  #run(): void {
    if (this.#working || this.#stop.signal.aborted || this.#queue.waiting === 0) return;
    this.#working = this.#work().finally(() => {
      this.#working = null;
      this.#run(); // a message may have come at the last moment
    });
    inBackground(this.#options.log, 'send to a webhook', this.#working);
  }

  async #work(): Promise<void> {
    const { signal } = this.#stop;
    for (let next = this.#queue.next(nowOf().mono); next !== null && !signal.aborted;) {
      if (next.inMs === 0) await this.#attempt(next.message);
      else await this.#wait(next.inMs);
      next = this.#queue.next(nowOf().mono);
    }
  }

  async #wait(ms: number): Promise<void> {
    this.#wake = new AbortController();
    const { signal } = this.#wake;
    await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined); // woken
  }

  async #attempt(message: Message): Promise<void> {
    const { log, onOutcome } = this.#options;
    const { timeoutMs } = this.#times;
    const { signal } = this.#stop;
    const timestampS = Math.floor(Date.now() / 1000);
    const answer = await postMessage(this.#target, message, { timestampS, timeoutMs, signal });
    if (signal.aborted) return;
    const outcome = this.#queue.settle(message.id, answer, {
      now: nowOf(),
      random: Math.random(),
    });
    const facts = { url: this.#shown, id: message.id, ...answer };
    if (outcome === null) log.warn(facts, 'webhook: not delivered, tried again later');
    if (outcome === 'given_up') log.error(facts, 'webhook: delivery given up');
    if (outcome !== null) onOutcome(outcome);
  }

  get #shown(): string {
    return shownUrl(this.#target.url);
  }
}

const nowOf = () => ({ mono: performance.now(), epoch: Date.now() });
