/**
 * Prometheus metrics of robots: every component of each, and ids that two robots use. Read at each
 * scrape from counts that the reports keep: walking over 100,000 robots every few seconds would
 * hold up the messages of all.
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
      this.set(fleet.counts.online);
    },
  });
  new Gauge({
    name: 'drover_robots',
    help: 'Components of robots by name, the version they run (unknown where they do not know) and the phase they are in',
    labelNames: ['component', 'version', 'phase'],
    registers,
    collect() {
      this.reset();
      for (const { component, version, phase, robots } of fleet.counts.components()) {
        // Its name may be `none`, as that of robots that have not reported.
        this.inc({ component: component ?? 'none', version: version ?? 'none', phase }, robots);
      }
    },
  });
  new Gauge({
    name: 'drover_robot_clones',
    help: 'Robot ids that two robots use at once (ROBOT_ID_TWICE)',
    registers,
    collect() {
      this.set(fleet.countTwins());
    },
  });
}
