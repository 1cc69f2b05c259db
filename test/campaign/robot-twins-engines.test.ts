/** Two robots with one id on external engines and behind a relay: the fleet reports them. */

import assert from 'node:assert/strict';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { startNats } from '../helpers/nats.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from '../e2e/attached-child.ts';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { startRelayChild } from '../e2e/relay-child.ts';
import { Site } from '../e2e/site.ts';

/** The agent r1 on two roots, as two cards that were copied from one. */
async function startTwins(t: TestContext, site: Site, url: string): Promise<void> {
  const first = site.path('one');
  await mkdir(join(first, 'active'), { recursive: true });
  await cp(first, site.path('two'), { recursive: true });
  for (const root of [first, site.path('two')]) {
    const args = ['--id', 'r1', '--root', root, '--hooks', site.path('hooks'), '--broker', url];
    startDrover(t, 'robot-client', [...args, '--trust', site.path('trust.json')]);
  }
}

/** The reports of both robots carry it, so no broker of ours is needed. */
async function assertListed(site: Site, url: string): Promise<void> {
  let last = '';
  // Each of the two counts by itself, and the last one that spoke is seen.
  for (const [more, told] of [
    [[], /^r1 .*ROBOT_ID_TWICE/m],
    [['--json'], /"id_twice": ?true/],
  ] as const) {
    await waitUntil(
      'drover fleet robots to tell it',
      async () => {
        last = await site.drover('fleet', 'robots', '--broker', url, ...more);
        return told.test(last);
      },
      { timeoutMs: 180_000, look: () => last },
    );
  }
}

async function assertTold(httpUrl: string): Promise<void> {
  const get = async (path: string): Promise<string> => (await fetch(`${httpUrl}${path}`)).text();
  let last = '';
  await waitUntil(
    'the API to tell it',
    async () => {
      last = await get('/robots/r1');
      return last.includes('ROBOT_ID_TWICE');
    },
    { timeoutMs: 180_000, look: () => last },
  );
  assert.match(await get('/metrics'), /^drover_robot_clones 1$/m);
}

describe('two robots with one id', { concurrency: true }, () => {
  for (const [name, start] of [
    ['mosquitto', startMosquitto],
    ['nats', startNats],
  ] as const) {
    it(`are reported by a broker that is attached to ${name}`, async (t) => {
      const engine = await start(t);
      if (!engine) return;
      const site = await Site.open(t);
      const args = ['--engine-profile', name];
      const attached = await AttachedChild.start(t, site, { engine: engine.url, data: 'a', args });
      // A robot to which nothing is announced waits longer with each link, and counts slower.
      if (name === 'mosquitto') await site.publish(engine.url, await site.bundle('1.0.0'));
      await startTwins(t, site, engine.url);
      await assertTold(attached.url);
      if (name === 'mosquitto') await assertListed(site, engine.url);
    });
  }

  it('are reported by the broker above their relay', async (t) => {
    const site = await Site.open(t);
    const above = await startBrokerChild(t, { args: ['--trust', site.path('trust.json')] });
    const relay = await startRelayChild(t, site, { upstream: above.url, name: 'hall' });
    await startTwins(t, site, relay.url);
    await Promise.all([relay.httpUrl, above.httpUrl].map(assertTold));
  });
});
