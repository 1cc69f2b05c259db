/**
 * Prometheus metrics of an external engine: whether it is connected, and how many announced chunks
 * it holds. Read at each scrape.
 */

import { Gauge, type Registry } from 'prom-client';
import type { StoreState } from './store-state.ts';

export interface AttachedGauges {
  isUp(): boolean;
  stores(): readonly StoreState[];
}

export function addAttachedMetrics(registry: Registry, { isUp, stores }: AttachedGauges): void {
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
