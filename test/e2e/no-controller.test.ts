/**
 * A broker without a controller, and a relay: their answers about rollouts, and where they refer
 * operators.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { startBrokerChild } from './broker-child.ts';
import { startRelayChild } from './relay-child.ts';
import { Site } from './site.ts';

test('without a controller a rollout for everybody is watched to its end, here and on a relay', async (t) => {
  const site = await Site.open(t);
  const trust = ['--trust', site.path('trust.json')];
  const broker = await startBrokerChild(t, { args: trust });
  const relay = await startRelayChild(t, site, { upstream: broker.url, name: 'hall' });
  const robots = [site.robot('r1', broker.url), site.robot('r2', relay.url)];
  await site.publish(broker.url, await site.bundle('1.0.0'), '--waves', '100', '--id', 'first');
  for (const robot of robots) await robot.runs('1.0.0');
  const drover = async (api: string, ...words: string[]) => {
    const child = startDrover(t, 'publisher', ['rollout', ...words, '--api', api]);
    const { code } = await child.exit;
    return { code, all: child.describe() };
  };
  for (const [{ httpUrl }, who, hint] of [
    [broker, 'this broker leads', '--rollout-key'],
    [relay, 'a relay', 'the broker above'],
  ] as const) {
    const watched = await drover(httpUrl, 'watch', 'first', '--timeout', '30s');
    assert.equal(watched.code, 0, watched.all);
    assert.match((await drover(httpUrl, 'list')).all, /first +app 1\.0\.0 +complete +1\/1 +100 %/);
    const history = await drover(httpUrl, 'history', 'first');
    assert.equal(history.code, 0, history.all);
    assert.match(history.all, new RegExp(`no history here: ${who}`));
    for (const more of [[], ['--dry-run']]) {
      const paused = await drover(httpUrl, 'pause', 'first', ...more);
      assert.equal(paused.code, 3, paused.all);
      assert.match(paused.all, /pause rollout first: .*leads none.*\(NO_CONTROLLER\)/);
      assert.match(paused.all, new RegExp(hint));
    }
  }
});
