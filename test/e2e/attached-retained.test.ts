/**
 * A stock mosquitto that restarts and retains nothing, as after a changed setting. A robot that
 * connects late would get no message, and only the attached broker can report it.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it, type TestContext } from 'node:test';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { productConfig, startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { Site } from './site.ts';

/** A look begins after ten seconds at the latest, and a loaded machine takes its time. */
const SLOW = { timeoutMs: 120_000 };

/** Subscribes as a new client. @returns the retained message; null without one in two seconds */
async function handed(t: TestContext, url: string, topic: string): Promise<Buffer | null> {
  let seen: Buffer | null = null;
  const clientId = `late-${randomBytes(4).toString('hex')}`;
  const onMessage = (_: string, payload: Uint8Array): void => {
    seen = Buffer.from(payload);
  };
  const wire = await connectWire({ url, clientId }, { onMessage }, makeLog('test', 'silent'));
  t.after(() => wire.close());
  await wire.subscribe([topic], 1);
  await waitUntil('a word', () => seen, { timeoutMs: 2_000 }).catch(() => null);
  await wire.close();
  return seen;
}

async function restarted(t: TestContext, engine: Mosquitto, more: string): Promise<Mosquitto> {
  engine.child.kill('SIGTERM');
  await engine.child.exit;
  const config = async (port: number): Promise<string> => `${await productConfig(port)}\n${more}\n`;
  const { port, folder } = engine;
  const again = await startMosquitto(t, { port, folder, config });
  assert.ok(again);
  return again;
}

it('an engine that comes back and retains nothing is ENGINE_UNFIT, until it retains again', async (t) => {
  const first = await startMosquitto(t);
  if (!first) return;
  const site = await Site.open(t);
  await site.publish(first.url, await site.bundle('1.0.0'), '--id', 'r');
  const broker = await AttachedChild.start(t, site, { engine: first.url, data: 'broker' });
  assert.equal((await broker.engine()).problem, null);
  const look = () => broker.child.describe();
  const second = await restarted(t, first, 'retain_available false');
  const isUnfit = async () => (await broker.engine()).problem?.code === 'ENGINE_UNFIT';
  await waitUntil('it is told', isUnfit, { ...SLOW, look });
  const health = await fetch(`${broker.url}/healthz`);
  assert.equal(health.status, 503);
  assert.match(await health.text(), /ENGINE_UNFIT[^]*retain_available/);
  const third = await restarted(t, second, 'retain_available true');
  const isWell = async () => {
    const { up, problem } = await broker.engine();
    return up && problem === null;
  };
  await waitUntil('it is over', isWell, { ...SLOW, look });
  assert.ok(await handed(t, third.url, UPDATES_TOPIC));
});
