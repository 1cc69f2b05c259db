/**
 * Prometheus metrics of rollouts. Gauges are read at each scrape, all from one view, so that they
 * agree and a rollout that is gone leaves no label behind.
 */

import { Gauge, type Registry } from 'prom-client';
import type { RunView } from './rollout-view.ts';
import type { RolloutView } from './views.ts';

export interface RolloutSources {
  rollouts(): Promise<readonly RolloutView[]>;
  /** The controller's record; null where it has none. */
  run(id: string): Pick<RunView, 'status' | 'wave' | 'threshold'> | null;
  /** True while this process leads. */
  isLeading(): boolean;
}

/** As published to robots, or as announced before a controller has published anything. */
const STATUSES = [
  'announced',
  'rolling',
  'paused',
  'halted',
  'rolling_back',
  'complete',
  'no_effect',
] as const;
const ROBOT_STATES = [
  'running',
  'went_on',
  'in_progress',
  'failed',
  'waiting',
  'recalled',
] as const;

/** @returns a function to call at each scrape, before the registry is read */
export function addRolloutMetrics(
  registry: Registry,
  sources: RolloutSources,
): () => Promise<void> {
  const registers = [registry];
  const gauge = <L extends string>(name: string, help: string, labelNames: L[]): Gauge<L> =>
    new Gauge({ name, help, labelNames, registers });
  const robots = gauge(
    'drover_rollout_robots',
    'Robots that a rollout is for, by what has become of it on them',
    ['rollout', 'state'],
  );
  const wave = gauge('drover_rollout_wave', 'Wave that is open; 0 for canaries', ['rollout']);
  const threshold = gauge('drover_rollout_threshold_ratio', 'Part of the fleet that may join', [
    'rollout',
  ]);
  const status = gauge('drover_rollout_status', '1 for the status it has, 0 for the others', [
    'rollout',
    'status',
  ]);
  const leading = gauge('drover_controller_leading', '1 while this process leads rollouts', []);
  const show = (rollout: RolloutView): void => {
    const { id } = rollout;
    const now = sources.run(id) ?? rollout;
    for (const state of ROBOT_STATES) robots.set({ rollout: id, state }, rollout.robots[state]);
    const excluded = Object.values(rollout.robots.excluded);
    const state = 'excluded';
    robots.set(
      { rollout: id, state },
      excluded.reduce((sum, one) => sum + one, 0),
    );
    for (const one of STATUSES) {
      status.set({ rollout: id, status: one }, one === now.status ? 1 : 0);
    }
    if (now.wave !== null) wave.set({ rollout: id }, now.wave);
    if (now.threshold !== null) threshold.set({ rollout: id }, now.threshold);
  };
  return async () => {
    const rollouts = await sources.rollouts();
    for (const one of [robots, wave, threshold, status]) one.reset();
    rollouts.forEach(show);
    leading.set(sources.isLeading() ? 1 : 0);
  };
}
