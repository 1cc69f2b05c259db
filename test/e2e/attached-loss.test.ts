/**
 * What a stock mosquitto loses, and a broker attached to it gives back: announcement and chunks
 * after a kill, a chunk that somebody deleted or replaced, events of the time it was away itself.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { parseTopic, UPDATES_TOPIC } from '../../shared/topics.ts';
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild, type ApiRollout } from './attached-child.ts';
import { Site } from './site.ts';

const ROLLOUT = 'app-1-0-0';
const RETAINED = { retain: true, qos: 1 } as const;

interface Stage {
  readonly engine: Mosquitto;
  readonly site: Site;
  /** Chunks of the one bundle that is published: the index and eight of its payload, or so. */
  readonly chunks: ReadonlyMap<string, Buffer>;
  readonly stranger: MqttWire;
}

/** A bundle of some chunks is published, and a stranger on the engine has seen them all. */
async function openStage(t: TestContext): Promise<Stage | null> {
  const engine = await startMosquitto(t);
  if (!engine) return null;
  const site = await Site.open(t);
  const chunks = new Map<string, Buffer>();
  const onMessage = (topic: string, payload: Uint8Array): void => {
    if (parseTopic(topic)?.kind === 'chunk') chunks.set(topic, Buffer.from(payload));
  };
  const stranger = await link(t, engine, onMessage);
  await stranger.subscribe(['fleet-chunks/#'], 1);
  const bundle = await site.bundle('1.0.0', { noise: randomBytes(500_000) });
  await site.publish(engine.url, bundle, '--chunk-size', '64k', '--id', ROLLOUT);
  await stranger.unsubscribe(['fleet-chunks/#']);
  assert.ok(chunks.size >= 8, `${chunks.size} chunks`);
  return { engine, site, chunks, stranger };
}

async function link(
  t: TestContext,
  { url }: Mosquitto,
  onMessage: (topic: string, payload: Uint8Array) => void = () => {},
): Promise<MqttWire> {
  const clientId = `stranger-${randomBytes(4).toString('hex')}`;
  const wire = await connectWire({ url, clientId }, { onMessage }, makeLog('test', 'silent'));
  t.after(() => wire.close());
  return wire;
}

const isComplete = ({ store }: ApiRollout): boolean => store?.status === 'complete';

describe('an attached broker and an engine that loses things', () => {
  it('gives announcement and chunks back to a mosquitto that was killed and lost its disk', async (t) => {
    const stage = await openStage(t);
    if (!stage) return;
    const { engine, site, chunks, stranger } = stage;
    const broker = await AttachedChild.start(t, site, {
      ...{ engine: engine.url, data: 'broker', leads: false },
    });
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

  it('answers a robot that wants a chunk that was deleted, and one that was replaced', async (t) => {
    const stage = await openStage(t);
    if (!stage) return;
    const { engine, site, chunks, stranger } = stage;
    const broker = await AttachedChild.start(t, site, {
      ...{ engine: engine.url, data: 'broker', leads: false },
    });
    await broker.until(ROLLOUT, 'is looked at', isComplete);
    const [deleted, replaced] = [...chunks.keys()] as [string, string];
    await stranger.send(deleted, new Uint8Array(), RETAINED);
    await stranger.send(replaced, randomBytes(64 * 1024), RETAINED);
    const robot = site.robot('r1', engine.url);
    await robot.runs('1.0.0', 90_000);
    assert.match(broker.child.stderr, /wanted chunk published again/);
    const seen = new Map<string, Buffer>();
    const reader = await link(t, engine, (topic, payload) => {
      seen.set(topic, Buffer.from(payload));
    });
    await reader.subscribe([deleted, replaced], 1);
    await waitUntil('both to be retained', () => seen.size === 2);
    for (const topic of [deleted, replaced]) assert.deepEqual(seen.get(topic), chunks.get(topic));
  });

  it('says which rollout has lost chunks that nobody here has, until they are published again', async (t) => {
    const stage = await openStage(t);
    if (!stage) return;
    const { engine, site, chunks, stranger } = stage;
    const [deleted] = [...chunks.keys()] as [string];
    await stranger.send(deleted, new Uint8Array(), RETAINED);
    const broker = await AttachedChild.start(t, site, {
      ...{ engine: engine.url, data: 'broker', leads: false },
    });
    const lost = await broker.until(ROLLOUT, 'is lost', (one) => one.store?.status === 'lost');
    assert.equal(lost.store?.problem?.code, 'CHUNKS_LOST');
    assert.deepEqual([lost.store?.lost, lost.store?.present], [1, chunks.size - 1]);
    assert.match(broker.child.stderr, /CHUNKS_LOST/);
    const again = ['--chunk-size', '64k', '--id', 'again', '--supersede', ROLLOUT];
    await site.publish(engine.url, site.path('bundles/1.0.0'), ...again);
    await broker.until('again', 'is complete', isComplete);
  });

  it('puts its own in the place of an announcement that was cleared, forged or rolled back', async (t) => {
    const stage = await openStage(t);
    if (!stage) return;
    const { engine, site } = stage;
    const held: { announcement: Buffer | null } = { announcement: null };
    const reader = await link(t, engine, (_, payload) => {
      held.announcement = Buffer.from(payload);
    });
    await reader.subscribe([UPDATES_TOPIC], 1);
    const older = await waitUntil('the first announcement', () => held.announcement);
    await site.publish(engine.url, await site.bundle('1.1.0'), '--supersede', ROLLOUT);
    const good = await waitUntil('the second', () =>
      held.announcement?.equals(older) === false ? held.announcement : null,
    );
    const start = { engine: engine.url, data: 'broker', leads: false };
    const broker = await AttachedChild.start(t, site, start);
    for (const [code, bad] of [
      ['ANNOUNCEMENT_INVALID', Buffer.alloc(0)],
      ['JSON_INVALID', randomBytes(100)],
      ['ANNOUNCEMENT_REPLAYED', older],
    ] as const) {
      await reader.send(UPDATES_TOPIC, bad, RETAINED);
      await broker.child.waitForOutput(new RegExp(code));
      await waitUntil(`${code}: ours again`, () => held.announcement?.equals(good) === true);
    }
  });

  it('has every event once, those of the time it was dead among them', async (t) => {
    const stage = await openStage(t);
    if (!stage) return;
    const { engine, site } = stage;
    const start = { engine: engine.url, data: 'broker', leads: false };
    const before = await AttachedChild.start(t, site, start);
    const robot = site.robot('r1', engine.url);
    await robot.runs('1.0.0');
    const first = await waitUntil('the first events', async () => {
      const events = await before.events('r1');
      return events.length > 3 ? events : null;
    });
    before.child.kill('SIGKILL');
    await before.child.exit;
    await site.publish(engine.url, await site.bundle('1.1.0'), '--supersede', ROLLOUT);
    await robot.runs('1.1.0');
    const after = await AttachedChild.start(t, site, start);
    const all = await waitUntil('the events of both', async () => {
      const events = await after.events('r1');
      return events.some((one) => one.event_seq > (first.at(-1)?.event_seq ?? 0) + 3)
        ? events
        : null;
    });
    const seqs = all.map((one) => one.event_seq);
    const from = seqs[0] as number;
    assert.deepEqual(
      seqs,
      seqs.map((_, at) => from + at),
      'no gap and no copy',
    );
    assert.equal(from, first[0]?.event_seq);
  });
});
