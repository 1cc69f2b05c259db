/**
 * One robot with three components behind a relay: one is adopted from a plain folder, all are
 * updated by deltas, a bad version of one leaves the others alone, and the agent is killed while
 * one restarts. `recover` is given all roots.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { startRelayChild, untilRobot } from '../e2e/relay-child.ts';
import { Site } from '../e2e/site.ts';

const NAMES = ['app', 'nav', 'arm'];

test('three components live side by side on one robot, behind a relay', async (t) => {
  const site = await Site.open(t, [], NAMES);
  const cloud = await startBrokerChild(t, { args: ['--trust', site.path('trust.json')] });
  const relay = await startRelayChild(t, site, { upstream: cloud.url, name: 'site-a' });
  const rootOf = (name: string): string => site.path(name === 'app' ? 'r1' : `r1-${name}`);
  await mkdir(join(rootOf('nav'), 'active'), { recursive: true });
  await writeFile(join(rootOf('nav'), 'active/VERSION'), '0.0.0');
  const robot = site.robot('r1', relay.url);
  await robot.component('nav').until('is adopted', ({ version }) => version === '0.0.0');
  assert.equal(await readlink(join(rootOf('nav'), 'active')), 'releases/0.0.0');

  const noise = randomBytes(256 * 1024);
  const release = async (version: string, before: string | null): Promise<void> => {
    for (const name of NAMES) {
      const from = before ? ['--delta-from', site.path('bundles', `${name}-${before}`)] : [];
      const bundle = await site.bundle(version, { noise }, '--name', name, ...from);
      await site.publish(cloud.url, bundle, '--health-timeout', '3s');
    }
  };
  await release('1.0.0', null);
  for (const name of NAMES) await robot.component(name).runs('1.0.0', 60_000);
  assert.equal((await robot.status('nav')).previous_version, '0.0.0');

  await robot.hook('health', '[ "$DROVER_COMPONENT$DROVER_VERSION" != arm2.0.0 ]');
  await release('2.0.0', '1.0.0');
  for (const name of ['app', 'nav']) {
    const { last_update: last } = await robot.component(name).runs('2.0.0', 60_000);
    assert.equal(last?.delta_from, '1.0.0', name);
  }
  await robot.component('arm').until(
    'went back',
    ({ phase, version, blocked }) => {
      return phase === 'idle' && version === '1.0.0' && blocked.includes('2.0.0');
    },
    60_000,
  );

  const [reached, go] = [site.path('reached'), site.path('go')];
  const wait = `touch ${reached}; while [ ! -e ${go} ]; do sleep 0.1; done`;
  await robot.hook(
    'start',
    `if [ "$DROVER_COMPONENT$DROVER_VERSION" = nav3.0.0 ]; then ${wait}; fi`,
  );
  await release('3.0.0', '2.0.0');
  await waitUntil('nav to restart', () => existsSync(reached), { timeoutMs: 60_000 });
  await robot.kill();
  await writeFile(go, '');
  const roots = NAMES.flatMap((name) => ['--root', `${name}=${rootOf(name)}`]);
  const hooks = ['--hooks', robot.hooks, '--json'];
  const recovered = startDrover(t, 'robot-client', ['recover', ...roots, ...hooks]);
  assert.equal((await recovered.exit).code, 0, recovered.describe());
  for (const name of NAMES) assert.match(recovered.stdout, new RegExp(`"${name}"`));
  assert.equal(await readFile(join(rootOf('nav'), 'active/VERSION'), 'utf8'), '3.0.0');
  robot.start();
  for (const name of NAMES) await robot.component(name).runs('3.0.0', 60_000);
  await untilRobot(cloud, 'r1', (now) => now.version === '3.0.0' && now.via === 'site-a');
});
