/**
 * A stolen rollout key, with the real programs: the limits of its use, and a recovery that leaves
 * nothing of it.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { seqAt } from '../../shared/rules/freshness.ts';
import { startDrover } from '../helpers/child.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { startBrokerChild } from './broker-child.ts';
import { startRelayChild } from './relay-child.ts';
import { Site } from './site.ts';
import { buildWith, rotateOut, Thief, trustTwoKeys } from './thief.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

async function openSite(t: TestContext): Promise<{ site: Site; trust: string }> {
  const site = await Site.open(t);
  await trustTwoKeys(site);
  return { site, trust: site.path('trust.json') };
}

interface Place {
  readonly url: string;
  readonly trust: string;
}

async function publishArgs(site: Site, on: Place, version: string, more: readonly string[]) {
  const bundle = await site.bundle(version);
  const by = ['--broker', on.url, '--key', site.path('rollout.key'), '--trust', on.trust];
  const waves = more.includes('--waves') ? [] : ['--waves', '100'];
  return ['publish', bundle, ...by, ...waves, ...more];
}

async function publish(site: Site, on: Place, version: string, ...more: string[]): Promise<void> {
  await site.drover(...(await publishArgs(site, on, version, more)));
}

/**
 * Runs a command again until it is taken: the controller gets each robot's report a little later.
 */
async function untilTaken(t: TestContext, args: readonly string[]): Promise<void> {
  await waitUntil(
    args.join(' '),
    async () => {
      const child = startDrover(t, 'publisher', [...args]);
      await child.exit;
      return child.ended?.code === 0;
    },
    { timeoutMs: 40_000 },
  );
}

async function steer(t: TestContext, api: string, verb: string, id: string): Promise<void> {
  await untilTaken(t, ['rollout', verb, id, '--api', api, '--yes', '--by', 'kim']);
}

describe('a stolen rollout key', () => {
  it('that says the highest seq, term and progress is forgotten with its key, on robot, relay and controller', async (t) => {
    const { site, trust } = await openSite(t);
    const lead = ['--rollout-key', site.path('rollout.key'), '--controller-start', '1s'];
    const { url, httpUrl } = await startBrokerChild(t, {
      args: ['--trust', trust, '--lease', '8s', ...lead],
    });
    const relay = await startRelayChild(t, site, { upstream: url, name: 'hall' });
    const robot = site.robot('r1', relay.url);
    await publish(site, { url, trust }, '1.0.0', '--id', 'first');
    await robot.runs('1.0.0');

    const thief = await Thief.enter(t, site, url);
    const now = Math.floor(Date.now() / 1000);
    await assert.rejects(thief.announce({ seq: Number.MAX_SAFE_INTEGER }), {
      code: 'ANNOUNCEMENT_AHEAD',
    });
    await thief.announce({ seq: now + 86_000 });
    const seq = seqAt('progress', Date.now() + 23 * HOUR);
    await thief.progress('second', { seq, status: 'halted' });
    await thief.lease(seqAt('lease', Date.now() + 23 * HOUR));
    await robot.kill();

    const next = await rotateOut(site, url);
    robot.start();
    await publish(site, { url, trust: next }, '1.1.0', '--id', 'second');
    await robot.runs('1.1.0');
    const third = ['--id', 'third', '--waves', '1,100'];
    // It overlaps with the second one until the controller knows that no robot of that is left.
    await untilTaken(t, await publishArgs(site, { url, trust: next }, '1.2.0', third));
    await steer(t, httpUrl, 'pause', 'third');
    await steer(t, httpUrl, 'resume', 'third');
    await steer(t, httpUrl, 'abort', 'third');
  });

  it('on mosquitto takes no robot that knows the time ahead, and none below what it confirmed', async (t) => {
    const engine = await startMosquitto(t);
    if (!engine) return;
    const { site, trust } = await openSite(t);
    const { url } = engine;
    const robot = site.robot('r1', url);
    await publish(site, { url, trust }, '1.0.0', '--id', 'first');
    await robot.runs('1.0.0');
    await publish(site, { url, trust }, '2.0.0', '--id', 'good');
    await robot.runs('2.0.0');

    const thief = await Thief.enter(t, site, url);
    const later = Date.now() + 270 * DAY;
    const life = { issued_at: new Date(later).toISOString() };
    const expires_at = new Date(later + DAY).toISOString();
    await thief.announce({ seq: Math.floor(later / 1000), ...life, expires_at });
    await robot.child.waitForOutput(/ANNOUNCEMENT_AHEAD/);
    await thief.progress('good', { seq: 2 ** 40, status: 'rolling_back' });
    await robot.runs('1.0.0');

    const broker = await AttachedChild.start(t, site, {
      ...{ engine: url, data: 'broker', leads: false },
    });
    await publish(site, { url, trust }, '1.1.0', '--id', 'old', '--anyway');
    await robot.child.waitForOutput(/BELOW_HIGHEST/);
    const next = await rotateOut(site, url);
    // The block of 2.0.0 went with the key that took it back: it runs again.
    const again = ['--broker', url, '--key', site.path('rollout.key'), '--trust', next, '--anyway'];
    await site.drover('publish', site.path('bundles/2.0.0'), ...again, '--waves', '100');
    await robot.runs('2.0.0');
    assert.deepEqual((await robot.status()).blocked, []);

    const down = ['--downgrade-from', '2.0.0'];
    const bundle = await buildWith(site, { from: '1.0.0', version: '1.5.0', options: down });
    await site.drover('publish', bundle, ...again, '--waves', '100');
    await robot.runs('1.5.0');
    assert.equal(broker.child.ended, null);
  });
});

describe('a release with bounds', () => {
  it('is not announced with less than its manifest asks for', async (t) => {
    const { site, trust } = await openSite(t);
    const { url } = await startBrokerChild(t, { args: ['--trust', trust] });
    await site.bundle('0.9.0');
    const options = ['--min-health-timeout', '30s', '--min-gate', 'auto_rollback=true'];
    const bundle = await buildWith(site, { from: '0.9.0', version: '1.0.0', options });
    const by = [
      '--broker',
      url,
      '--key',
      site.path('stolen.key'),
      '--trust',
      trust,
      '--waves',
      '100',
    ];
    const hasty = await site.tryDrover({}, 'publish', bundle, ...by, '--health-timeout', '1s');
    assert.equal(hasty.ended?.code, 3, hasty.describe());
    assert.match(hasty.describe(), /RELEASE_BOUNDS/);
    const lax = await site.tryDrover({}, 'publish', bundle, ...by, '--gate', 'auto_rollback=false');
    assert.match(lax.describe(), /RELEASE_BOUNDS/);
    await site.drover('publish', bundle, ...by);
    await site.robot('r1', url).runs('1.0.0');
  });
});
