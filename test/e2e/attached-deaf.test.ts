/**
 * An engine that lost its subscriptions, as after a restart: links are up and PUBACK comes, but no
 * message does. A controller there must not lead a fleet whose reports it does not receive.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startDeafProxy } from '../helpers/deaf-proxy.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { Site } from './site.ts';

it('an attached broker that receives nothing any more connects again, and leads on', async (t) => {
  const engine = await startMosquitto(t);
  if (!engine) return;
  const proxy = await startDeafProxy(t, engine.port);
  const site = await Site.open(t);
  const behind = { engine: `mqtt://127.0.0.1:${proxy.port}`, data: 'broker' };
  const broker = await AttachedChild.start(t, site, behind);
  const first = await broker.engine();
  assert.equal(proxy.deafen(), 3, 'control, events and chunks');
  const isNew = async (): Promise<boolean> => {
    const { up, since, problem } = await broker.engine();
    return up && since !== first.since && problem === null; // each of the three is back
  };
  await waitUntil('other connections', isNew, {
    timeoutMs: 60_000,
    look: () => broker.child.describe(),
  });
  assert.ok(proxy.withheld > 0, 'something was held back');
  assert.match(broker.child.stderr, /was not echoed, reconnecting/);

  const robot = site.robot('r1', engine.url);
  const id = 'app-1-0-0';
  await site.publish(engine.url, await site.bundle('1.0.0'), '--id', id, '--soak', '1s');
  await robot.runs('1.0.0');
  await broker.until(id, 'is led', ({ run }) => run?.leading === true);
  const row = await waitUntil('the robot to be known', async () => (await broker.robots())[0]);
  assert.equal(row.robot_id, 'r1');
});
