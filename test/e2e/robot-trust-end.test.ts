/** The expiry of trust.json on a robot: the robot and the fleet report it, before and after. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { untilHeard } from './mounted-roots.ts';
import { Site, type Robot } from './site.ts';

const DAY_MS = 86_400_000;

async function ask(t: TestContext, robot: Robot, verb: 'explain' | 'status'): Promise<string> {
  const child = startDrover(t, 'robot-client', [verb, '--root', robot.root]);
  await child.exit;
  return child.stdout;
}

test('a robot whose trust.json ends is reported before, and is no healthy robot afterwards', async (t) => {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const path = site.path('trust.json');
  const trust = JSON.parse(await readFile(path, 'utf8')) as object;
  const robot = site.robot('r1', broker.url);
  await site.publish(broker.url, await site.bundle('1.0.0'));
  await robot.runs('1.0.0');
  assert.match(await ask(t, robot, 'explain'), /trust\.json version 1 holds for \d+ days/);
  const restartWith = async (leftMs: number): Promise<void> => {
    await robot.child.stop();
    const expires = new Date(Date.now() + leftMs).toISOString();
    await writeFile(path, JSON.stringify({ ...trust, expires }));
    robot.start();
  };
  const fleet = (): Promise<string> => site.drover('fleet', 'robots', '--broker', broker.url);
  await restartWith(20.5 * DAY_MS);
  await waitUntil('the fleet to list it', async () => /TRUST_EXPIRING/.test(await fleet()));
  const before = await ask(t, robot, 'explain');
  assert.match(before, /expires in 20 days.*\(TRUST_EXPIRING\)\n {2}hint: .*drover trust rotate/);
  await restartWith(-2.5 * DAY_MS);
  await untilHeard([robot, broker], 'app', 'TRUST_EXPIRED');
  assert.match(await fleet(), /r1 .*TRUST_EXPIRED/);
  const after = await ask(t, robot, 'explain');
  assert.match(after, /expired at .*2 days ago.*\(TRUST_EXPIRED\)\n {2}hint: /);
  const status = JSON.parse(await ask(t, robot, 'status')) as { trust: { days_left: number } };
  assert.equal(status.trust.days_left, -2, 'the same days');
  await restartWith(400 * DAY_MS);
  await untilHeard([robot, broker], 'app', null);
});
