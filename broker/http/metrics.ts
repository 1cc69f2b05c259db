/**
 * Prometheus metrics of the broker, under conventional names: counters end in `_total`, units are
 * bytes and seconds. Gauges are read at each scrape, so they cannot drift.
 */

import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { addEngineMetrics, type EngineGauges } from '../attached/engine-metrics.ts';
import { addExpiryMetrics } from '../control/expiry-metrics.ts';
import type { ExpiryView } from '../control/expiry.ts';
import { addFleetMetrics } from '../control/fleet-metrics.ts';
import type { Fleet } from '../control/fleet.ts';
import { addGarbageMetrics } from '../garbage/garbage-metrics.ts';
import type { GarbageView } from '../garbage/ledger.ts';
import type { UpstreamStatus } from '../relay/relay-view.ts';
import { addUpstreamMetrics } from '../relay/upstream-metrics.ts';
import {
  addRolloutMetrics,
  type RolloutMetrics,
  type RolloutSources,
} from '../rollout/rollout-metrics.ts';

export interface MetricsSources {
  readonly fleet: Fleet;
  /** Null on a broker that is attached to another engine: only that one knows. */
  readonly connections: (() => number) | null;
  storeBytes(): number;
  storeChunks(): number;
}

export interface MetricDescription {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** Prometheus' own metrics of a Node process stand beside these. */
const OWN = 'drover_';

export class Metrics {
  readonly #registry = new Registry();
  readonly #chunksReceived: Counter;
  readonly #chunkBytesReceived: Counter;
  readonly #chunksServed: Counter;
  readonly #chunkBytesServed: Counter;
  readonly #messages: Counter<'kind'>;
  readonly #refusals: Counter<'code'>;
  #rollouts: RolloutMetrics | null = null;

  constructor(sources: MetricsSources) {
    collectDefaultMetrics({ register: this.#registry });
    const counter = (name: string, help: string): Counter =>
      new Counter({ name, help, registers: [this.#registry] });
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
    this.#messages = new Counter({
      name: 'drover_messages_received_total',
      help: 'Messages published to this broker, by kind',
      labelNames: ['kind'],
      registers: [this.#registry],
    });
    this.#refusals = new Counter({
      name: 'drover_refusals_total',
      help: 'Messages and subscriptions that were refused, by error code',
      labelNames: ['code'],
      registers: [this.#registry],
    });
    const { connections } = sources;
    if (connections) this.#gauge('drover_mqtt_connections', 'Open MQTT connections', connections);
    this.#gauge('drover_store_bytes', 'Bytes of chunks stored', () => sources.storeBytes());
    this.#gauge('drover_store_chunks', 'Chunks stored', () => sources.storeChunks());
    addFleetMetrics(this.#registry, sources.fleet);
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

  /** Called later: the controller is created after Metrics. */
  showRollouts(sources: RolloutSources): void {
    this.#rollouts = addRolloutMetrics(this.#registry, sources);
  }

  /** The engine that this broker is attached to, and the announced chunks that it holds. */
  showEngine(sources: EngineGauges): void {
    addEngineMetrics(this.#registry, sources);
  }

  /** The bound on sent bytes, and the chunks that wait for it. */
  showRate(rate: { bytesPerSecondMax: number | null; waiting(): number }): void {
    this.#gauge('drover_chunk_turns_waiting', 'Chunks that wait for their turn', rate.waiting);
    this.#gauge(
      'drover_chunk_bytes_per_second_max',
      'Bytes of chunks that may go out each second to all clients together, 0 for no bound',
      () => rate.bytesPerSecondMax ?? 0,
    );
  }

  /** The link of a relay to its upstream. */
  showUpstream(status: () => UpstreamStatus): void {
    addUpstreamMetrics(this.#registry, status);
  }

  /** Chunks that garbage collection removed, and those that wait for it. */
  showGarbage(views: () => readonly GarbageView[]): void {
    addGarbageMetrics(this.#registry, views);
  }

  /** When trust.json and the announcement expire. */
  showExpiry(view: () => ExpiryView): void {
    addExpiryMetrics(this.#registry, view);
  }

  countDecision(kind: string): void {
    this.#rollouts?.countDecision(kind);
  }

  /** Each metric of Drover without its values: docs/metrics.md is generated from it. */
  describe(): MetricDescription[] {
    const own = this.#registry.getMetricsAsArray().filter(({ name }) => name.startsWith(OWN));
    return own.map((metric) => {
      const { labelNames = [] } = metric as { labelNames?: readonly string[] };
      return { name: metric.name, help: metric.help, labels: labelNames };
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    this.#rollouts?.refresh();
    return await this.#registry.metrics();
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }
}
