/** Prometheus metrics of the broker, under conventional names: counters end in `_total`, units are
 * bytes and seconds. Gauges are read when they are asked for, so they cannot drift. */

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
  /** Null where only the engine of somebody else knows. */
  readonly connections: (() => number) | null;
  storeBytes(): number;
  storeChunks(): number;
}

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
      'Bytes of those chunks',
    );
    this.#chunksServed = counter('drover_chunks_served_total', 'Chunks sent to who asked for them');
    this.#chunkBytesServed = counter('drover_chunk_bytes_served_total', 'Bytes of those chunks');
    this.#messages = new Counter({
      name: 'drover_messages_received_total',
      help: 'Messages published to this broker, by what they are',
      labelNames: ['kind'],
      registers: [this.#registry],
    });
    this.#refusals = new Counter({
      name: 'drover_refusals_total',
      help: 'Messages and subscriptions that were not taken, by error code',
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

  /** Rollouts as well, from now on; there is a broker before there is who leads. */
  showRollouts(sources: RolloutSources): void {
    this.#rollouts = addRolloutMetrics(this.#registry, sources);
  }

  /** An engine that somebody else runs, and what it holds of announced chunks. */
  showEngine(sources: EngineGauges): void {
    addEngineMetrics(this.#registry, sources);
  }

  /** What may go out, and what waits for it. */
  showRate(rate: { bytesPerSecondMax: number | null; waiting(): number }): void {
    this.#gauge('drover_chunk_turns_waiting', 'Chunks that wait for their turn', rate.waiting);
    this.#gauge(
      'drover_chunk_bytes_per_second_max',
      'Bytes of chunks that may go out each second to all clients together, 0 for no bound',
      () => rate.bytesPerSecondMax ?? 0,
    );
  }

  /** The way up from a site. */
  showUpstream(status: () => UpstreamStatus): void {
    addUpstreamMetrics(this.#registry, status);
  }

  /** What is removed as well, from now on. */
  showGarbage(views: () => readonly GarbageView[]): void {
    addGarbageMetrics(this.#registry, views);
  }

  /** Until when trust.json and what is announced hold. */
  showExpiry(view: () => ExpiryView): void {
    addExpiryMetrics(this.#registry, view);
  }

  countDecision(kind: string): void {
    this.#rollouts?.countDecision(kind);
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
