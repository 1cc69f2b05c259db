/**
 * Prometheus metrics of robots: every component of each, and ids that two robots use. Read at each
 * scrape.
 */

import { Gauge, type Registry } from 'prom-client';
import type { Fleet } from './fleet.ts';

export function addFleetMetrics(registry: Registry, fleet: Fleet): void {
  const registers = [registry];
  new Gauge({
    name: 'drover_robots_online',
    help: 'Robots that are connected',
    registers,
    collect() {
      this.set(fleet.robots().filter((one) => one.online).length);
    },
  });
  new Gauge({
    name: 'drover_robots',
    help: 'Components of robots by name, the version they run and the phase they are in',
    labelNames: ['component', 'version', 'phase'],
    registers,
    collect() {
      this.reset();
      for (const { state } of fleet.robots()) {
        if (!state) this.inc({ component: 'none', version: 'none', phase: 'unknown' });
        for (const { name, version, phase } of state?.components ?? []) {
          this.inc({ component: name, version: version ?? 'none', phase });
        }
      }
    },
  });
  new Gauge({
    name: 'drover_robot_clones',
    help: 'Robot ids that two robots use at once (ROBOT_ID_TWICE)',
    registers,
    collect() {
      this.set(fleet.robots().filter(({ robot }) => fleet.twinsOf(robot) !== null).length);
    },
  });
}
