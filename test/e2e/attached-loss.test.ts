/**
 * A stock mosquitto loses chunks: an attached broker restores all of them after a kill, and one
 * that was deleted or replaced, and names the rollouts whose chunks it does not have either.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import type { ApiRollout } from './attached-child.ts';
import { attachTo, connectStranger, openLossStage, ROLLOUT } from './loss-stage.ts';

const RETAINED = { retain: true, qos: 1 } as const;
const isComplete = ({ store }: ApiRollout): boolean => store?.status === 'complete';

describe('an attached broker and an engine that loses things', () => {
  it('gives announcement and chunks back to a mosquitto that was killed and lost its disk', async (t) => {
    const stage = await openLossStage(t);
    if (!stage) return;
    const { engine, site, chunks, stranger } = stage;
    const broker = await attachTo(t, stage);
    const held = await broker.until(ROLLOUT, 'is looked at', isComplete);
    assert.equal(held.store?.chunks, chunks.size);
    await stranger.close();
    engine.child.kill('SIGKILL');
    await engine.child.exit;
    await rm(join(engine.folder, 'mosquitto.db'), { force: true });
    const empty = await startMosquitto(t, { port: engine.port, folder: engine.folder });
    assert.ok(empty);
    const back = await broker.until(
      ROLLOUT,
      'is put back',
      (one) => isComplete(one) && one.store?.restored === chunks.size,
    );
    assert.equal(back.store?.lost, 0);
    const robot = site.robot('r1', engine.url);
    await robot.runs('1.0.0', 60_000);
    assert.match(await broker.metrics(), /drover_announced_chunks\{state="lost"\} 0/);
  });

  it('answers a robot that wants a chunk that was deleted or replaced [P-7.9]', async (t) => {
    const stage = await openLossStage(t);
    if (!stage) return;
    const { engine, site, chunks, stranger } = stage;
    const broker = await attachTo(t, stage);
    await broker.until(ROLLOUT, 'is looked at', isComplete);
    const [deleted, replaced] = [...chunks.keys()] as [string, string];
    await stranger.send(deleted, new Uint8Array(), RETAINED);
    await stranger.send(replaced, randomBytes(64 * 1024), RETAINED);
    const robot = site.robot('r1', engine.url);
    await robot.runs('1.0.0', 90_000);
    assert.match(broker.child.stderr, /wanted chunk published again/);
    const seen = new Map<string, Buffer>();
    const reader = await connectStranger(t, engine, (topic, payload) => {
      seen.set(topic, Buffer.from(payload));
    });
    await reader.subscribe([deleted, replaced], 1);
    await waitUntil('both to be retained', () => seen.size === 2);
    for (const topic of [deleted, replaced]) assert.deepEqual(seen.get(topic), chunks.get(topic));
  });

  it('says which rollout has lost chunks that this broker does not have, until they are published again', async (t) => {
    const stage = await openLossStage(t);
    if (!stage) return;
    const { engine, site, chunks, stranger } = stage;
    const [deleted] = [...chunks.keys()] as [string];
    await stranger.send(deleted, new Uint8Array(), RETAINED);
    const broker = await attachTo(t, stage);
    const lost = await broker.until(ROLLOUT, 'is lost', (one) => one.store?.status === 'lost');
    assert.equal(lost.store?.problem?.code, 'CHUNKS_LOST');
    assert.deepEqual([lost.store?.lost, lost.store?.present], [1, chunks.size - 1]);
    assert.match(broker.child.stderr, /CHUNKS_LOST/);
    const again = ['--chunk-size', '64k', '--id', 'again', '--supersede', ROLLOUT];
    await site.publish(engine.url, site.path('bundles/1.0.0'), ...again);
    await broker.until('again', 'is complete', isComplete);
  });
});
