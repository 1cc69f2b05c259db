/**
 * Prometheus metrics of the broker, under conventional names: counters end in `_total`, units are
 * bytes and seconds. Gauges are read at each scrape, so they cannot drift.
 */

import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import type { EventCounters } from '../control/event-metrics.ts';
import type { ExpiryView } from '../control/expiry.ts';
import { addFleetMetrics } from '../control/fleet-metrics.ts';
import type { Fleet } from '../control/fleet.ts';
import { CERTIFICATE_STATES } from '../enrolment/records.ts';
import { addGarbageMetrics } from '../garbage/garbage-metrics.ts';
import type { GarbageView } from '../garbage/ledger.ts';
import type { UpstreamStatus } from '../relay/relay-view.ts';
import { addUpstreamMetrics } from '../relay/upstream-metrics.ts';
import { addRolloutMetrics, type RolloutSources } from '../rollout/rollout-metrics.ts';
import type { StoreState } from '../attached/store-state.ts';

export interface MetricsSources {
  readonly fleet: Fleet;
  readonly chunks: { readonly bytesStored: number; readonly chunksStored: number };
  readonly rollouts: RolloutSources;
  readonly engine: EngineGauges;
  /** One for each place where chunks are removed. */
  garbage(): readonly GarbageView[];
  /** When trust.json and the announcement expire. */
  expiry(): ExpiryView;
  /** Number of certificates of enrolled robots in each state. */
  certificates?(): ReadonlyMap<string, number>;
}

/** Gauges that only some engines have; null is left out. */
export interface EngineGauges {
  /** Null on an attached broker: only the external engine knows. */
  readonly connections: (() => number) | null;
  /** The bound on sent bytes, and the chunks that wait for it. */
  readonly rate: { readonly bytesPerSecondMax: number | null; waiting(): number } | null;
  /** The link of a relay to its upstream. */
  readonly upstream: (() => UpstreamStatus) | null;
  /** The external engine, and the announced chunks that it holds. */
  readonly attached: AttachedGauges | null;
}

export interface MetricDescription {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** Prometheus' own metrics of a Node process stand beside these. */
const OWN = 'drover_';

/** The Prometheus page: the counters, and gauges that are read from the parts at each scrape. */
export class Metrics {
  readonly #registry: Registry;
  readonly #refreshRollouts: () => Promise<void>;

  constructor({ registry }: EventCounters, sources: MetricsSources) {
    const { fleet, chunks, rollouts, engine } = sources;
    const { connections, rate, upstream, attached } = engine;
    this.#registry = registry;
    collectDefaultMetrics({ register: registry });
    if (connections) this.#gauge('drover_mqtt_connections', 'Open MQTT connections', connections);
    this.#gauge('drover_store_bytes', 'Bytes of chunks stored', () => chunks.bytesStored);
    this.#gauge('drover_store_chunks', 'Chunks stored', () => chunks.chunksStored);
    if (rate) {
      this.#gauge('drover_chunk_turns_waiting', 'Chunks that wait for their turn', () =>
        rate.waiting(),
      );
      this.#gauge(
        'drover_chunk_bytes_per_second_max',
        'Bytes of chunks that may go out each second to all clients together, 0 for no bound',
        () => rate.bytesPerSecondMax ?? 0,
      );
    }
    addFleetMetrics(registry, fleet);
    this.#refreshRollouts = addRolloutMetrics(registry, rollouts);
    addGarbageMetrics(registry, () => sources.garbage());
    addExpiryMetrics(registry, () => sources.expiry());
    addCertificateMetrics(registry, () => sources.certificates?.() ?? new Map());
    if (upstream) addUpstreamMetrics(registry, upstream);
    if (attached) addAttachedMetrics(registry, attached);
  }

  /** Each metric of Drover without values: docs/metrics.md is generated from it. */
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
    await this.#refreshRollouts();
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

export interface AttachedGauges {
  isUp(): boolean;
  stores(): readonly StoreState[];
}

/** An external engine: whether it is connected, and how many announced chunks it holds. */
function addAttachedMetrics(registry: Registry, { isUp, stores }: AttachedGauges): void {
  const registers = [registry];
  new Gauge({
    name: 'drover_engine_up',
    help: '1 while there is a link to the engine',
    registers,
    collect() {
      this.set(isUp() ? 1 : 0);
    },
  });
  new Gauge({
    name: 'drover_announced_chunks',
    help: 'Chunks of announced rollouts by state on the engine',
    labelNames: ['state'],
    registers,
    collect() {
      for (const state of ['present', 'lost', 'restored'] as const) {
        this.set(
          { state },
          stores().reduce((sum, one) => sum + one[state], 0),
        );
      }
    },
  });
}

function addCertificateMetrics(registry: Registry, read: () => ReadonlyMap<string, number>): void {
  new Gauge({
    name: 'drover_enrolled_certificates',
    help: 'Certificates of enrolled robots: good, due to be renewed, late with it, expired, or of an authority that is not taken any more (foreign)',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const counts = read();
      for (const state of CERTIFICATE_STATES) this.set({ state }, counts.get(state) ?? 0);
    },
  });
}

function addExpiryMetrics(registry: Registry, view: () => ExpiryView): void {
  const gauge = (
    name: string,
    help: string,
    read: (one: ExpiryView) => number | undefined,
  ): Gauge =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        const left = read(view());
        if (left === undefined) this.remove();
        else this.set(left);
      },
    });
  gauge(
    'drover_trust_expires_seconds',
    'Seconds until trust.json expires; negative once it has',
    (one) => one.trust?.seconds_left,
  );
  gauge(
    'drover_announcement_expires_seconds',
    'Seconds until what is announced expires; negative once it has',
    (one) => one.announcement?.seconds_left,
  );
}
