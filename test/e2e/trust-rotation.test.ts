/**
 * Rotates the keys of a fleet in the field, with the real programs: robots follow, and old keys are
 * refused.
 */

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { callLocalApi } from '../../robot-client/local/client.ts';
import { planNextTrust } from '../../publisher/trust/plan-trust.ts';
import { PAYLOAD_TYPES, signEnvelope } from '../../shared/formats/envelope.ts';
import { parseTrust } from '../../shared/formats/trust.ts';
import { readSigners } from '../../shared/io/signers.ts';
import { trustTopic } from '../../shared/formats/topics.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { startBrokerChild } from './broker-child.ts';
import { connectStranger } from './loss-stage.ts';
import { Site, type Robot } from './site.ts';
import { makeKey } from './site-making.ts';

const UPDATE = 'trust-2.json.update';

async function trustOf(robot: Robot): Promise<number> {
  const socket = `${robot.root}/state/agent.sock`;
  const status = (await callLocalApi(socket, 'GET', '/status')) as unknown as {
    trust: { version: number };
  };
  return status.trust.version;
}

const follows = (robot: Robot): Promise<unknown> =>
  waitUntil(`${robot.id} follows`, async () => (await trustOf(robot)) === 2, {
    look: () => robot.child.describe(),
  });

type RoleName = 'root' | 'release' | 'rollout';

/** These roles get other keys. A new root key has to sign as well, and has not yet. */
async function rotate(site: Site, roles: readonly RoleName[]): Promise<string> {
  const keys: string[] = [];
  for (const role of roles) {
    await makeKey(site.path(`${role}-2`));
    keys.push(`--${role}`, site.path(`${role}-2.pub`));
  }
  const by = ['--trust', site.path('trust.json'), '--key', site.path('release.key')];
  const out = ['--out', site.path('trust-2.json')];
  return await site.drover('trust', 'rotate', ...keys, ...by, ...out);
}

const publishUpdate = (site: Site, url: string, ...more: string[]) => {
  const args = ['--trust', site.path('trust.json'), '--broker', url, '--json', ...more];
  return site.tryDrover({}, 'trust', 'publish', site.path(UPDATE), ...args);
};

async function coSign(site: Site): Promise<void> {
  const by = ['--trust', site.path('trust.json'), '--key', site.path('root-2.key')];
  await site.drover('trust', 'sign', site.path(UPDATE), ...by);
}

/** Signed by the new keys, announced under the new root. */
async function publishNew(site: Site, url: string, version: string): Promise<void> {
  const bundle = await site.bundle(version);
  await site.drover('sign', bundle, '--add', '--key', site.path('release-2.key'));
  const by = ['--key', site.path('rollout-2.key'), '--trust', site.path('trust-2.json')];
  await site.drover('publish', bundle, '--broker', url, '--waves', '100', ...by);
}

async function assertOldKeysRefused(site: Site, url: string, version: string): Promise<void> {
  const bundle = await site.bundle(version);
  const args = site.publishArgs(url, bundle, '--replace-invalid');
  const child = await site.tryDrover({}, ...args, '--json');
  assert.equal(child.ended?.code, 3, child.describe());
  assert.match(child.describe(), /ENVELOPE_KEY_UNKNOWN/);
}

async function openStage(t: TestContext) {
  const site = await Site.open(t);
  const trusting = ['--trust', site.path('trust.json')];
  const broker = await startBrokerChild(t, { args: trusting });
  const robot = site.robot('r1', broker.url);
  await site.publish(broker.url, await site.bundle('1.0.0'));
  await robot.runs('1.0.0');
  return { site, broker, robot, trusting };
}

describe('a fleet whose keys are replaced', () => {
  it('follows, keeps its rollouts, takes the new keys and no longer the old [P-4.8]', async (t) => {
    const { site, broker, robot, trusting } = await openStage(t);
    assert.match(
      await rotate(site, ['root', 'release', 'rollout']),
      /lacks 1 signature of its own root keys/,
    );
    const early = await publishUpdate(site, broker.url);
    assert.match(early.describe(), /ENVELOPE_KEY_UNKNOWN/);
    await coSign(site);
    const key = ['--key', site.path('rollout-2.key')];
    const published = await publishUpdate(site, broker.url, ...key);
    assert.equal(published.ended?.code, 0, published.describe());
    const told = /"announcement":"signed again","ended":\["app-1-0-0-\w+"\]/;
    assert.match(published.stdout, told);
    await follows(robot);

    await assertOldKeysRefused(site, broker.url, '1.8.0');
    await publishNew(site, broker.url, '1.1.0');
    await robot.runs('1.1.0');
    await robot.killAndRestart();
    await waitUntil('back', async () => (await trustOf(robot).catch(() => 0)) === 2);

    broker.child.kill('SIGKILL');
    await broker.child.exit;
    const again = { data: broker.data, port: broker.port, args: trusting };
    const { url, httpUrl } = await startBrokerChild(t, again);
    await assertOldKeysRefused(site, url, '1.9.0');
    const late = site.robot('r2', url); // its image knows only the first root
    await late.runs('1.1.0');
    await waitUntil('the fleet tells', async () => {
      const robots = (await (await fetch(`${httpUrl}/robots`)).json()) as {
        robots: { robot_id: string; trust_version: number | null }[];
      };
      return robots.robots.map((one) => one.trust_version).join() === '2,2';
    });
  });

  it('takes nothing under old keys when trust.json of a robot is lost, and walks to the new ones', async (t) => {
    const { site, broker, robot } = await openStage(t);
    await rotate(site, ['rollout']);
    await publishUpdate(site, broker.url, '--key', site.path('rollout-2.key'));
    await follows(robot);
    await robot.runs('1.0.0');
    await robot.kill();
    await rm(`${robot.root}/state/trust.json`);
    robot.start();
    await robot.child.waitForOutput(/TRUST_LOST/);
    await follows(robot);
    const bundle = await site.bundle('1.1.0');
    const by = ['--key', site.path('rollout-2.key'), '--trust', site.path('trust-2.json')];
    await site.drover('publish', bundle, '--broker', broker.url, '--waves', '100', ...by);
    await robot.runs('1.1.0');
  });

  it('keeps its rollouts when only the rollout key is another', async (t) => {
    const { site, broker, robot } = await openStage(t);
    await rotate(site, ['rollout']);
    const dry = await publishUpdate(site, broker.url, '--dry-run');
    assert.match(dry.stdout, /"dry_run":true,"version":2,"announcement":"not taken any more"/);
    assert.equal(await trustOf(robot), 1);
    const alone = await publishUpdate(site, broker.url);
    assert.match(alone.stdout, /"announcement":"not taken any more"/);
    await follows(robot);
    const mended = await publishUpdate(site, broker.url, '--key', site.path('rollout-2.key'));
    assert.match(mended.stdout, /"announcement":"signed again","ended":\[\]/);
    await site.robot('r3', broker.url).runs('1.0.0');
    const again = await publishUpdate(site, broker.url);
    assert.match(again.stdout, /"announcement":"holds"/);
  });
});

/** An update to a root that had ended before it was published. */
async function writeEnded(site: Site): Promise<void> {
  const current = parseTrust(await readFile(site.path('trust.json')));
  const times = { expiresAtMs: Date.now() - 1_000, issuedAtMs: Date.now() - 60_000 };
  const changes = { root: {}, release: {}, rollout: {} };
  const { bytes } = planNextTrust({ current, ...times, changes });
  const sources = { files: [site.path('release.key')], commands: [], signCommands: [] };
  const known = { candidates: current.roles.root.keys, signMsMax: 1_000 };
  const signers = await readSigners({ ...sources, environment: undefined }, known, () => undefined);
  await writeFile(site.path(UPDATE), await signEnvelope(PAYLOAD_TYPES.trust, bytes, signers));
}

describe('a root that has expired', () => {
  it('is published with a warning, and a second time with the word that it was there', async (t) => {
    const site = await Site.open(t);
    const broker = await startBrokerChild(t, { args: ['--trust', site.path('trust.json')] });
    await writeEnded(site);
    const words = ['trust', 'publish', site.path(UPDATE), '--trust', site.path('trust.json')];
    const once = await site.tryDrover({}, ...words, '--broker', broker.url);
    assert.match(once.stdout, /^published trust root 2$/m);
    assert.match(once.stderr, /^drover: warning: .*version 2: expired at .*TRUST_EXPIRED/m);
    assert.match(once.stderr, /date -u/);
    const twice = await site.tryDrover({}, ...words, '--broker', broker.url);
    assert.match(twice.stdout, /^published trust root 2: it was published before$/m);
    const json = await publishUpdate(site, broker.url);
    assert.match(json.stdout, /"published_before":true,.*"code":"TRUST_EXPIRED"/);
  });

  it('still leads to the next one, through an engine that loses the update', async (t) => {
    const engine = await startMosquitto(t);
    if (!engine) return;
    const site = await Site.open(t);
    const trust = JSON.parse(await readFile(site.path('trust.json'), 'utf8')) as object;
    const expired = { ...trust, expires: new Date(Date.now() + 1_000).toISOString() };
    await writeFile(site.path('trust.json'), JSON.stringify(expired));
    const robot = site.robot('r1', engine.url);
    await robot.until('is there', () => true);
    await rotate(site, ['release', 'rollout']);
    const broker = await AttachedChild.start(t, site, {
      ...{ engine: engine.url, data: 'broker', leads: false },
    });
    const published = await publishUpdate(site, engine.url);
    assert.equal(published.ended?.code, 0, published.describe());
    await follows(robot);
    const heard: number[] = [];
    const stranger = await connectStranger(t, engine, (_, { byteLength }) => {
      heard.push(byteLength);
    });
    await stranger.subscribe([trustTopic(2)], 1);
    await waitUntil('it is retained', () => (heard.at(-1) ?? 0) > 0);
    await stranger.send(trustTopic(2), new Uint8Array(), { retain: true, qos: 1 });
    // It may be back before anybody looks.
    await waitUntil('it was cleared', () => heard.includes(0));
    await waitUntil('it is back', () => (heard.at(-1) ?? 0) > 0, {
      look: () => broker.child.describe(),
    });
    await publishNew(site, engine.url, '1.1.0');
    await robot.runs('1.1.0');
  });
});
