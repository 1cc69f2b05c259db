/** A stock mosquitto with one bundle published on it, and a stranger who may write everything. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { parseTopic } from '../../shared/formats/topics.ts';
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts';
import { AttachedChild } from './attached-child.ts';
import { Site } from './site.ts';

export const ROLLOUT = 'app-1-0-0';

export interface LossStage {
  readonly engine: Mosquitto;
  readonly site: Site;
  /** Chunks of the one bundle that is published: the index and eight of its payload, or so. */
  readonly chunks: ReadonlyMap<string, Buffer>;
  readonly stranger: MqttWire;
}

/** A bundle of some chunks is published, and a stranger on the engine has seen them all. */
export async function openLossStage(t: TestContext): Promise<LossStage | null> {
  const engine = await startMosquitto(t);
  if (!engine) return null;
  const site = await Site.open(t);
  const chunks = new Map<string, Buffer>();
  const onMessage = (topic: string, payload: Uint8Array): void => {
    if (parseTopic(topic)?.kind === 'chunk') chunks.set(topic, Buffer.from(payload));
  };
  const stranger = await connectStranger(t, engine, onMessage);
  await stranger.subscribe(['fleet-chunks/#'], 1);
  const bundle = await site.bundle('1.0.0', { noise: randomBytes(500_000) });
  await site.publish(engine.url, bundle, '--chunk-size', '64k', '--id', ROLLOUT);
  await stranger.unsubscribe(['fleet-chunks/#']);
  assert.ok(chunks.size >= 8, `${chunks.size} chunks`);
  return { engine, site, chunks, stranger };
}

export async function connectStranger(
  t: TestContext,
  { url }: Mosquitto,
  onMessage: (topic: string, payload: Uint8Array) => void = () => {},
): Promise<MqttWire> {
  const clientId = `stranger-${randomBytes(4).toString('hex')}`;
  const wire = await connectWire({ url, clientId }, { onMessage }, makeLog('test', 'silent'));
  t.after(() => wire.close());
  return wire;
}

/** A broker that puts back what the engine loses, and leads no rollouts. */
export const attachTo = (t: TestContext, { engine, site }: LossStage): Promise<AttachedChild> =>
  AttachedChild.start(t, site, { engine: engine.url, data: 'broker', leads: false });
