/**
 * A fleet on three nats-servers: the one that serves all clients dies in the middle of a rollout.
 * Robots and controller move to another node, and the rollout ends.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { startNatsCluster } from '../helpers/nats-cluster.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from '../e2e/attached-child.ts';
import { Site } from '../e2e/site.ts';

const ROBOTS = ['r1', 'r2', 'r3'];
const ROLLOUT = 'app-1-1-0';
const QUICK = ['--soak', '1s', '--late-spread', '1s'].concat([
  '--gate',
  'batch_s=1',
  '--gate',
  'evidence_wait_s=2',
]);
/** A consumer of a dead node is elected again after some seconds; a busy machine adds to it. */
const PATIENCE_MS = 240_000;

describe('three nats-servers of which one is killed', () => {
  it('end a rollout that was in progress with every robot on the new version', async (t) => {
    const cluster = await startNatsCluster(t);
    if (!cluster) return;
    const { url, nodes } = cluster;
    const site = await Site.open(t);
    const args = ['--engine-profile', 'nats'];
    const broker = await AttachedChild.start(t, site, { engine: url, data: 'broker', args });
    const robots = ROBOTS.map((id) => site.robot(id, url, ['--max-rate', '400k']));
    await site.publish(url, await site.bundle('1.0.0'), '--id', 'app-1-0-0', ...QUICK);
    for (const robot of robots) await robot.runs('1.0.0', PATIENCE_MS);
    const bundle = await site.bundle('1.1.0', { noise: randomBytes(2_000_000) });
    const more = ['--waves', '50,100', '--chunk-size', '64k', '--supersede', 'app-1-0-0'];
    await site.publish(url, bundle, '--id', ROLLOUT, ...more, ...QUICK);
    await waitUntil('a robot to be in mid-transfer', async () => {
      const all = await Promise.all(robots.map((robot) => robot.status()));
      return all.some(({ transfer }) => (transfer?.bytes_done ?? 0) > 300_000);
    });
    nodes[0]?.child.kill('SIGKILL');
    await nodes[0]?.child.exit;
    for (const robot of robots) await robot.runs('1.1.0', PATIENCE_MS);
    await broker.until(ROLLOUT, 'is complete', ({ run }) => run?.status === 'complete');
    assert.equal(nodes.filter(({ child }) => child.ended !== null).length, 1);
  });
});
