/**
 * Prometheus counters of what a broker received, served, refused and decided since it started. The
 * gauges are in `http/metrics.ts`.
 */

import { Counter, Registry } from 'prom-client';

/** Created before the parts of the broker that count. */
export class EventCounters {
  readonly registry = new Registry();
  readonly #chunksReceived: Counter;
  readonly #chunkBytesReceived: Counter;
  readonly #chunksServed: Counter;
  readonly #chunkBytesServed: Counter;
  readonly #messages: Counter<'kind'>;
  readonly #refusals: Counter<'code'>;
  readonly #decisions: Counter<'kind'>;
  readonly #webhooks: Counter<'outcome'>;

  constructor() {
    const counter = <L extends string>(name: string, help: string, ...labels: L[]): Counter<L> =>
      new Counter({ name, help, labelNames: labels, registers: [this.registry] });
    this.#chunksReceived = counter('drover_chunks_received_total', 'Chunks verified and stored');
    this.#chunkBytesReceived = counter(
      'drover_chunk_bytes_received_total',
      'Bytes of chunks verified and stored',
    );
    this.#chunksServed = counter('drover_chunks_served_total', 'Chunks sent to robots');
    this.#chunkBytesServed = counter(
      'drover_chunk_bytes_served_total',
      'Bytes of chunks sent to robots',
    );
    this.#messages = counter(
      'drover_messages_received_total',
      'Messages published to this broker, by kind',
      'kind',
    );
    this.#refusals = counter(
      'drover_refusals_total',
      'Messages and subscriptions that were refused, by error code',
      'code',
    );
    this.#decisions = counter(
      'drover_rollout_decisions_total',
      'Decisions on rollouts since this process started, by kind',
      'kind',
    );
    this.#webhooks = counter(
      'drover_webhook_deliveries_total',
      'Deliveries to webhooks that ended, by outcome: delivered, given_up, dropped',
      'outcome',
    );
  }

  countChunkReceived(bytes: number): void {
    this.#chunksReceived.inc();
    this.#chunkBytesReceived.inc(bytes);
  }

  countChunkServed(bytes: number): void {
    this.#chunksServed.inc();
    this.#chunkBytesServed.inc(bytes);
  }

  countMessage(kind: string): void {
    this.#messages.inc({ kind });
  }

  countRefusal(code: string): void {
    this.#refusals.inc({ code });
  }

  countDecision(kind: string): void {
    this.#decisions.inc({ kind });
  }

  countWebhook(outcome: string): void {
    this.#webhooks.inc({ outcome });
  }
}
