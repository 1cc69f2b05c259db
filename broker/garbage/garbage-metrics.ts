/** Prometheus metrics of removed and pending chunks, read from the collectors at each scrape. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { GarbageView } from './ledger.ts';

type Read = (one: GarbageView) => number;

export function addGarbageMetrics(registry: Registry, views: () => readonly GarbageView[]): void {
  const shape = { labelNames: ['place'], registers: [registry] };
  const counter = (name: string, help: string, read: Read): Counter =>
    new Counter({
      ...{ ...shape, name, help },
      collect() {
        this.reset();
        for (const one of views()) this.inc({ place: one.place }, read(one));
      },
    });
  const gauge = (name: string, help: string, read: Read): Gauge =>
    new Gauge({
      ...{ ...shape, name, help },
      collect() {
        for (const one of views()) this.set({ place: one.place }, read(one));
      },
    });
  counter(
    'drover_garbage_removed_chunks_total',
    'Chunks removed because nothing needed them',
    (one) => one.removed_chunks,
  );
  counter(
    'drover_garbage_removed_bytes_total',
    'Bytes of chunks removed because nothing needed them',
    (one) => one.removed_bytes,
  );
  gauge(
    'drover_garbage_pending_chunks',
    'Chunks that nothing needs and whose keep time is not over',
    (one) => one.pending_chunks,
  );
  gauge(
    'drover_garbage_in_doubt',
    '1 while it cannot be told what is announced, so that nothing is removed',
    (one) => (one.problem ? 1 : 0),
  );
}
