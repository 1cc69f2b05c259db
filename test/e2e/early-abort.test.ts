/** An operator aborts a rollout in the same second in which it was published. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { startDrover, type Child } from '../helpers/child.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { AttachedChild } from './attached-child.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

const WAVES = ['--waves', '50,100', '--anyway'];

async function drover(t: TestContext, api: string, ...args: string[]): Promise<Child> {
  const child = startDrover(t, 'publisher', ['rollout', ...args, '--api', api]);
  await child.exit;
  return child;
}

async function assertAborts(
  t: TestContext,
  api: string,
  id: string,
  isUnopened: boolean,
): Promise<void> {
  const child = await drover(t, api, 'abort', id, '--yes', '--by', 'kim');
  assert.equal(child.ended?.code, 0, child.describe());
  assert.match(child.stdout, /is halted/);
  const { stdout } = await drover(t, api, 'history', id);
  assert.match(stdout, /abort by kim/);
  if (isUnopened) assert.doesNotMatch(stdout, / opened /);
}

describe('an abort in the first seconds', () => {
  it('gets through right after publish, and right after a crash of the broker', async (t) => {
    const site = await Site.open(t);
    const args = ['--trust', site.path('trust.json'), '--rollout-key', site.path('rollout.key')];
    const data = site.path('data');
    const first = await startBrokerChild(t, { data, args });
    await site.publish(first.url, await site.bundle('1.0.0'), ...WAVES, '--id', 'a1');
    await assertAborts(t, first.httpUrl, 'a1', true);
    const again = ['--id', 'a2', '--supersede', 'a1'];
    await site.publish(first.url, await site.bundle('1.1.0'), ...WAVES, ...again);
    first.child.kill('SIGKILL');
    await first.child.exit;
    const second = await startBrokerChild(t, { data, args });
    await assertAborts(t, second.httpUrl, 'a2', true);
    assert.doesNotMatch(
      second.child.stderr,
      /it is unknown which are needed/,
      'there is nothing to doubt',
    );
  });

  it('gets through on mosquitto, when the controller has just been attached', async (t) => {
    const mosquitto = await startMosquitto(t);
    if (!mosquitto) return;
    const site = await Site.open(t);
    await site.publish(mosquitto.url, await site.bundle('1.0.0'), ...WAVES, '--id', 'a1');
    const broker = await AttachedChild.start(t, site, { engine: mosquitto.url, data: 'd' });
    await assertAborts(t, broker.url, 'a1', false);
  });
});
