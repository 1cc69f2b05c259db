/** The agent updates itself, with a real broker, drover-launch and programs of several versions. */

import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { agentBundle, SelfUpdating, TRIAL } from './agent-stage.ts';
import { startBrokerChild } from './broker-child.ts';
import { heard } from './mounted-roots.ts';
import { Site } from './site.ts';
import { waitUntil } from '../helpers/wait-until.ts';

test('an agent follows the installed one, one that does not start is left again, and updates go on', async (t) => {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const [good, bad] = [
    await agentBundle(site, '1.1.0'),
    await agentBundle(site, '1.2.0', `throw new Error('no camera');`),
  ];
  const robot = new SelfUpdating(t, site, broker.url);
  await site.publish(broker.url, good, '--id', 'good', ...TRIAL);
  const { previous_version: before } = await robot.runs('1.1.0');
  assert.equal(before, null);
  await site.publish(broker.url, bad, '--id', 'bad', '--supersede', 'good', ...TRIAL);
  const back = await robot.until(
    'the way back',
    (one) => one.last_error?.code === 'AGENT_NOT_UP' && one.phase === 'idle',
  );
  assert.equal(back.version, '1.1.0');
  assert.match(back.last_error?.message ?? '', /not confirmed in 3 starts; the last one: exited 1/);
  assert.deepEqual(back.blocked, ['1.2.0']);
  assert.equal((await robot.status())?.agent, '1.1.0');
  await waitUntil('the fleet to hear it', async () =>
    (await heard(broker)).some(({ last_error: error }) => error?.code === 'AGENT_NOT_UP'),
  );
  await site.publish(broker.url, await site.bundle('3.0.0'), '--id', 'app', ...TRIAL);
  await robot.until('the application', (one) => one.version === '3.0.0', { component: 'app' });
  assert.equal(readlinkSync(join(robot.root, 'active')), 'releases/1.1.0');
  robot.launcher.kill('SIGTERM');
  assert.deepEqual(await robot.launcher.exit, { code: 0, signal: null });
});
