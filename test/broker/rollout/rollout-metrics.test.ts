/** Rollouts as Prometheus metrics: gauges from one view, and counters of events. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { RolloutSources } from '../../../broker/rollout/rollout-metrics.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { describeRollouts, type RolloutView } from '../../../broker/rollout/views.ts';
import { EventCounters } from '../../../broker/control/event-metrics.ts';
import { Metrics } from '../../../broker/http/metrics.ts';
import { peekAnnouncement } from '../../../shared/formats/announcement.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { AT_MS, makeState } from '../reports.ts';
import { classesInFull } from '../classes-in-full.ts';

const signer = makeFleet();

/** Rollouts of 2.0.0, as the API shows them. */
async function views(fleet: Fleet, ids: readonly string[]): Promise<RolloutView[]> {
  const bundle = await signer.makeBundle({ version: '2.0.0' });
  const rollouts = ids.map((id) => signer.makeRollout(id, bundle));
  const announcement = peekAnnouncement(signer.announce(1, rollouts));
  const classes = classesInFull(fleet);
  return describeRollouts({ announcement, progress: new Map(), classes, verified: true });
}

function open(
  fleet: Fleet,
  sources: Partial<RolloutSources> = {},
  counters = new EventCounters(),
): Metrics {
  const none = { rollouts: () => Promise.resolve([]), run: () => null, isLeading: () => false };
  return new Metrics(counters, {
    ...{ fleet, chunks: { bytesStored: 0, chunksStored: 0 }, rollouts: { ...none, ...sources } },
    garbage: () => [],
    expiry: () => ({ trust: null, announcement: null, problems: [] }),
    engine: { connections: null, rate: null, upstream: null, attached: null },
  });
}

const linesOf = async (metrics: Metrics): Promise<string[]> =>
  (await metrics.text()).split('\n').filter((line) => /^drover_(?:rollout|controller)/.test(line));

it('shows robots, wave, threshold and status of each rollout, the controller believed first', async () => {
  const fleet = new Fleet();
  fleet.applyState(makeState('r1', { version: '2.0.0' }), AT_MS);
  fleet.applyState(makeState('r2', { phase: 'downloading', rollout: 'x-1' }), AT_MS);
  fleet.applyState(makeState('r3', { blocked: ['2.0.0'] }), AT_MS);
  fleet.applyState(makeState('r4'), AT_MS);
  const shown = await views(fleet, ['x-1', 'x-2']);
  const metrics = open(fleet, {
    rollouts: () => Promise.resolve(shown),
    run: (id) => (id === 'x-1' ? { status: 'paused', wave: 2, threshold: 0.5 } : null),
    isLeading: () => true,
  });
  const lines = await linesOf(metrics);
  for (const line of [
    'drover_rollout_robots{rollout="x-1",state="running"} 1',
    'drover_rollout_robots{rollout="x-1",state="in_progress"} 1',
    'drover_rollout_robots{rollout="x-1",state="excluded"} 1',
    'drover_rollout_robots{rollout="x-1",state="waiting"} 1',
    'drover_rollout_wave{rollout="x-1"} 2',
    'drover_rollout_threshold_ratio{rollout="x-1"} 0.5',
    'drover_rollout_status{rollout="x-1",status="paused"} 1',
    'drover_rollout_status{rollout="x-1",status="rolling"} 0',
    'drover_rollout_status{rollout="x-2",status="announced"} 1',
    'drover_controller_leading 1',
  ]) {
    assert.ok(lines.includes(line), `${line}\n${lines.join('\n')}`);
  }
  // It has no open wave: no number is better than a wrong one.
  assert.ok(!lines.some((line) => line.startsWith('drover_rollout_wave{rollout="x-2"')));
});

it('forgets a rollout that is no longer announced', async () => {
  const fleet = new Fleet();
  let shown = await views(fleet, ['old', 'new']);
  const metrics = open(fleet, { rollouts: () => Promise.resolve(shown) });
  assert.ok((await linesOf(metrics)).some((line) => line.includes('"old"')));
  shown = shown.filter(({ id }) => id === 'new');
  const lines = await linesOf(metrics);
  assert.ok(lines.some((line) => line.includes('"new"')));
  assert.ok(!lines.some((line) => line.includes('"old"')), lines.join('\n'));
});

it('counts decisions by kind, also of rollouts that are gone, and says when no controller leads', async () => {
  const counters = new EventCounters();
  const metrics = open(new Fleet(), {}, counters);
  for (const kind of ['opened', 'opened', 'halted']) counters.countDecision(kind);
  assert.deepEqual(await linesOf(metrics), [
    'drover_rollout_decisions_total{kind="opened"} 2',
    'drover_rollout_decisions_total{kind="halted"} 1',
    'drover_controller_leading 0',
  ]);
});
