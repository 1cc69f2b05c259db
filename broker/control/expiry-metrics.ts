/** Prometheus metrics of the seconds until trust.json and the announcement expire. */

import { Gauge, type Registry } from 'prom-client';
import type { ExpiryView } from './expiry.ts';

/** A gauge has no value while nothing can expire. */
export function addExpiryMetrics(registry: Registry, view: () => ExpiryView): void {
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
