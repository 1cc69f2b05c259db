/** Prometheus metrics of the upstream link, read at each scrape. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { UpstreamStatus } from './relay-view.ts';

export function addUpstreamMetrics(registry: Registry, status: () => UpstreamStatus): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: (now: UpstreamStatus) => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(status()));
      },
    });
  };
  gauge('drover_upstream_up', '1 while there is a link to the upstream', ({ isUp }) => +isUp);
  gauge('drover_upstream_chunks_missing', 'Announced chunks that are not here yet', (now) => {
    return now.missing;
  });
  new Gauge({
    name: 'drover_upstream_backlog',
    help: 'Reports of robots that wait for the upstream',
    labelNames: ['kind'],
    registers,
    collect() {
      const { states, events } = status().backlog;
      this.set({ kind: 'state' }, states);
      this.set({ kind: 'event' }, events);
    },
  });
  const total = (name: string, help: string, read: (now: UpstreamStatus) => number): void => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(status()));
      },
    });
  };
  total('drover_upstream_chunk_bytes_total', 'Bytes of chunks pulled from the upstream', (now) => {
    return now.bytesPulled;
  });
  total('drover_upstream_events_dropped_total', 'Events that found no room to wait', (now) => {
    return now.backlog.dropped;
  });
}
