/** A rollout that no robot takes: the output of `rollout watch` for a CI job. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

test('watch of an old version ends with exit 3 and counts why robots did not take it', async (t) => {
  const site = await Site.open(t);
  const lead = ['--rollout-key', site.path('rollout.key'), '--controller-start', '1s'];
  const args = ['--trust', site.path('trust.json'), ...lead];
  const broker = await startBrokerChild(t, { args });
  const robots = ['r1', 'r2'].map((id) => site.robot(id, broker.url));
  await site.publish(broker.url, await site.bundle('2.0.0'), '--id', 'new', '--soak', '0');
  for (const robot of robots) await robot.runs('2.0.0');
  const old = ['--id', 'old', '--soak', '0', '--supersede', 'new', '--anyway'];
  await site.publish(broker.url, await site.bundle('1.0.0'), ...old);
  const at = ['--api', broker.httpUrl];
  const watch = startDrover(t, 'publisher', ['rollout', 'watch', 'old', ...at]);
  await watch.exit;
  assert.equal(watch.ended?.code, 3, watch.describe());
  assert.match(watch.stderr, /2 .*NOT_NEWER[^]*ROLLOUT_NO_EFFECT/);
  for (const robot of robots) await robot.runs('2.0.0');
});
