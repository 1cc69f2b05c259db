/**
 * After a restart nats-server 2.9.10 may acknowledge messages with QoS 1 and deliver none of them,
 * while subscriptions with QoS 0 get all. A test cannot make it do so, so a proxy here withholds
 * what a real one delivers with QoS 1.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';
import { startDeafProxy } from '../helpers/deaf-proxy.ts';
import { startNats } from '../helpers/nats.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { Site } from './site.ts';

it('an attached broker on a NATS that delivers nothing with QoS 1 says so, leads on, and sees when a restart has repaired it', async (t) => {
  const engine = await startNats(t);
  if (!engine) return;
  const proxy = await startDeafProxy(t, engine.port);
  const site = await Site.open(t);
  const broker = await AttachedChild.start(t, site, {
    engine: `mqtt://127.0.0.1:${proxy.port}`,
    data: 'broker',
    args: ['--engine-profile', 'nats'],
  });
  const look = (): string => broker.child.describe();
  const says = (code: string | null): Promise<boolean> =>
    waitUntil(
      `the engine to have ${code ?? 'no problem'}`,
      async () => {
        const { up, problem } = await broker.engine();
        return up && (problem?.code ?? null) === code;
      },
      { timeoutMs: 60_000, look },
    );
  proxy.withhold(({ qos, retain }) => qos === 1 && !retain);
  await says('ENGINE_NOT_DELIVERING');
  assert.ok(proxy.withheld > 0, 'something was withheld');
  const health = await fetch(`${broker.url}/healthz`);
  assert.equal(health.status, 503);
  assert.match(
    await health.text(),
    /ENGINE_NOT_DELIVERING.*restart the engine, and update it if it is nats-server/,
  );
  assert.match(broker.child.stderr, /the engine does not deliver to robots/);

  const robot = site.robot('r1', engine.url);
  const id = 'app-1-0-0';
  const gate = ['--gate', 'batch_s=1', '--gate', 'evidence_wait_s=2'];
  const soak = ['--soak', '1s', ...gate];
  await site.publish(engine.url, await site.bundle('1.0.0'), '--id', id, ...soak);
  await robot.runs('1.0.0');
  await broker.until(id, 'is complete', ({ status }) => status === 'complete');
  const { problem } = await broker.engine();
  assert.equal(problem?.code, 'ENGINE_NOT_DELIVERING', 'what the controller hears has QoS 0');
  assert.doesNotMatch(broker.child.stderr, /ENGINE_TOPIC_DENIED|was not echoed/);

  await engine.child.stop();
  await waitUntil('the loss to be seen', async () => !(await broker.engine()).up);
  proxy.withhold(null);
  assert.ok(await startNats(t, engine));
  await says(null);
  // For longer than it takes to find that something is withheld.
  const backAtMs = Date.parse((await broker.engine()).since);
  const isQuiet = async (): Promise<boolean> => {
    assert.equal((await broker.engine()).problem, null);
    return Date.now() - backAtMs > 1.5 * LIMITS.echoMsMax;
  };
  while (!(await isQuiet())) await sleep(500);
});
