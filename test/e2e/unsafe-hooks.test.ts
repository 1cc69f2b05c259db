/** A robot whose hooks another user may replace, as its fleet and a person at it see it. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { test } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

test('a robot whose hooks anybody may write runs none of them, says so, and updates when they are shut', async (t) => {
  const site = await Site.open(t);
  const broker = await startBrokerChild(t);
  const robot = site.robot('r1', broker.url);
  await robot.hook('health', `touch ${site.path('ran')}`);
  await chmod(robot.hooks, 0o777);
  await site.publish(broker.url, await site.bundle('1.0.0'));
  await robot.until('refuses it', (status) => status.last_error?.code === 'PROGRAM_UNSAFE');
  assert.equal((await robot.status()).version, null);

  await waitUntil('the fleet to hear of it', async () => {
    const answer = await fetch(`${broker.httpUrl}/robots/r1`);
    return (await answer.text()).includes('PROGRAM_UNSAFE');
  });
  const explain = startDrover(t, 'robot-client', ['explain', '--root', robot.root]);
  await explain.exit;
  const words = `${robot.hooks} may be written by others (mode 777): chmod go-w ${robot.hooks}`;
  assert.ok(explain.stdout.includes(`${words} (PROGRAM_UNSAFE)`), explain.stdout);
  assert.equal(existsSync(site.path('ran')), false);

  await chmod(robot.hooks, 0o755);
  const retry = startDrover(t, 'robot-client', ['retry', '--root', robot.root]);
  await retry.exit;
  await robot.runs('1.0.0');
  assert.equal(existsSync(site.path('ran')), true);
  await robot.until('forgets it', (status) => status.last_error === null);
});
