/**
 * A compromised relay between a real broker and robots: it alters chunks, replays old
 * announcements, withholds new ones, forges progress, widens a wave. It installs nothing, and moves
 * no robot outside the signed plan; the robots themselves report what it withholds.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Agent } from '../../robot-client/agent.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import {
  parseRobotId,
  parseRolloutId,
  type RobotId,
  type Sha256Hex,
} from '../../shared/base/ids.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { type AnnouncementFields } from '../../shared/formats/announcement.ts';
import { chunkTopic, progressTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { cohortFraction } from '../../shared/rules/rollout-rules.ts';
import { fixedSeed, makeFleet, type SignedBundle } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { FalseRelay } from './false-relay.ts';
import { startRelayChild, type RelayChild } from './relay-child.ts';
import { Site } from './site.ts';
import { announcementNow, progressNow } from '../helpers/sign-now.ts';

const fleet = makeFleet();
const LOG = makeLog('test', 'silent');
const RETAINED = { retain: true, qos: 1 } as const;
const ID = 'app-2';
/** Of a robot's own salt: the first is in a wave of one half, the second is not. */
const [INSIDE, OUTSIDE] = pickRobots(0.5);

function pickRobots(threshold: number): readonly [RobotId, RobotId] {
  const ids = Array.from({ length: 50 }, (_, at) => parseRobotId(`r${at}`));
  const isIn = (id: RobotId): boolean => cohortFraction('test', id) < threshold;
  const [inside, outside] = [ids.find(isIn), ids.find((id) => !isIn(id))];
  if (!inside || !outside) throw new Error('no such robots');
  return [inside, outside];
}

interface World {
  readonly above: Wire;
  readonly relay: FalseRelay;
  robot(id: RobotId): Promise<TestRobot>;
}

class TestRobot {
  readonly agent: Agent;
  readonly root: string;

  constructor(agent: Agent, root: string) {
    this.agent = agent;
    this.root = root;
  }

  get text(): string {
    return JSON.stringify(this.agent.status());
  }

  async says(words: RegExp): Promise<void> {
    await waitUntil(`the robot to say ${words}`, () => words.test(this.text), {
      look: () => this.text,
      timeoutMs: 40_000,
    });
  }

  async version(): Promise<string | null> {
    const path = join(this.root, 'active/VERSION.txt');
    return existsSync(path) ? (await readFile(path, 'utf8')).trim() : null;
  }

  async runs(version: string): Promise<void> {
    await waitUntil(`${version} to run`, async () => (await this.version()) === version, {
      look: () => this.text,
      timeoutMs: 40_000,
    });
  }
}

function altered(payload: Uint8Array): Uint8Array {
  const copy = payload.slice();
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 1;
  return copy;
}

async function open(t: TestContext): Promise<World> {
  const folder = await tempFolder(t);
  await writeFile(join(folder, 'trust.json'), fleet.trustBytes);
  const cloud = await startBrokerChild(t, { args: ['--trust', join(folder, 'trust.json')] });
  const log = LOG;
  const above = await connectWire({ url: cloud.url, clientId: 'p' }, { onMessage: () => {} }, log);
  t.after(() => above.close());
  const relay = await FalseRelay.open(t, cloud.url);
  const robot = async (id: RobotId): Promise<TestRobot> => {
    const root = join(folder, id);
    const agent = new Agent({
      ...{ robot: id, trust: fleet.trust, arch: 'x86_64', model: '', tags: [], bootsMax: 3 },
      ...{ bytesPerSecondMax: null, adoptVersion: '0.0.0', disk: realDisk, log: LOG },
      roots: [{ component: 'app', root }],
      hooksFolder: join(folder, 'no-hooks'),
      link: { url: relay.url },
    });
    await agent.open();
    t.after(() => agent.close());
    return new TestRobot(agent, root);
  };
  return { above, relay, robot };
}

/** As a publisher does: chunks, then the word for them. */
async function publish(
  wire: Wire,
  seq: number,
  bundle: SignedBundle,
  more: { expires_at?: string; waves?: { percent: number; soak_s?: number }[] } = {},
): Promise<Uint8Array> {
  for (const [hash, bytes] of bundle.chunks) await wire.send(chunkTopic(hash), bytes, RETAINED);
  const { waves = [{ percent: 100 }], ...dates } = more;
  const rollout = fleet.makeRollout(waves.length > 1 ? ID : `app-${seq}`, bundle, { waves });
  const announcement = fleet.announce(seq, [rollout], dates);
  await wire.send(UPDATES_TOPIC, announcement, RETAINED);
  return announcement;
}

const inSeconds = (seconds: number): string =>
  new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000).toISOString();

describe('a compromised relay', () => {
  it('installs nothing with altered chunks, and hinders no robot once it is repaired', async (t) => {
    const { above, relay, robot } = await open(t);
    const one = await robot(INSIDE);
    const bundle = await fleet.makeBundle({ version: '1.0.0' });
    const { chunk_index: index } = bundle.artifact;
    const falseChunks = async (hash: Sha256Hex): Promise<void> => {
      for (let again = 0; again < 3; again += 1) {
        const before = relay.served;
        relay.fetch(hash);
        await waitUntil('a false chunk', () => relay.served > before);
      }
      await one.says(/"phase":"downloading"/);
      assert.equal(await one.version(), null);
      assert.equal(existsSync(join(one.root, 'releases/1.0.0')), false);
    };
    relay.chunks = altered;
    await publish(above, 1, bundle);
    await waitUntil('the question for the index', () => relay.served >= 1);
    await falseChunks(index as Sha256Hex);
    // The index is true, and nothing that it names.
    relay.chunks = (payload) => (sha256Hex(payload) === index ? payload : altered(payload));
    relay.fetch(index as Sha256Hex);
    const [first] = bundle.chunks.keys();
    await falseChunks(first as Sha256Hex);
    relay.chunks = (payload) => payload;
    relay.fetch(first as Sha256Hex);
    await one.runs('1.0.0');
  });

  it('takes no robot back with an old announcement', async (t) => {
    const { above, relay, robot } = await open(t);
    const one = await robot(INSIDE);
    const old = await publish(above, 1, await fleet.makeBundle({ version: '1.0.0' }));
    await one.runs('1.0.0');
    await publish(above, 2, await fleet.makeBundle({ version: '1.1.0' }));
    await one.runs('1.1.0');
    await one.says(/"version":"1.1.0","previous_version":"1.0.0",.*"phase":"idle"/);
    await relay.say(UPDATES_TOPIC, old);
    await one.says(/ANNOUNCEMENT_REPLAYED/);
    assert.equal(await one.version(), '1.1.0');
  });

  it('cannot withhold a newer one for longer than the last one holds [P-5.9]', async (t) => {
    const { above, relay, robot } = await open(t);
    const one = await robot(INSIDE);
    const bundle = await fleet.makeBundle({ version: '1.0.0' });
    await publish(above, 1, bundle);
    await one.runs('1.0.0');
    await publish(above, 2, bundle, { expires_at: inSeconds(3) });
    await one.says(/"seq":2|ANNOUNCEMENT_EXPIRED/); // it is the last that comes down
    relay.control = () => null;
    await publish(above, 3, await fleet.makeBundle({ version: '1.1.0' }));
    await one.says(/ANNOUNCEMENT_EXPIRED/);
    assert.equal(await one.version(), '1.0.0');
  });

  it('moves no robot outside the signed wave, whatever progress it makes up', async (t) => {
    const { above, relay, robot } = await open(t);
    const [inside, outside] = [await robot(INSIDE), await robot(OUTSIDE)];
    const waves = [{ percent: 50 }, { percent: 100 }];
    await publish(above, 1, await fleet.makeBundle({ version: '1.0.0' }), { waves });
    const topic = progressTopic(parseRolloutId(ID));
    const signed = { rollout: ID, seq: 7, wave: 1, threshold: 0.5, status: 'rolling' } as const;
    const true7 = fleet.progress(signed);

    const fields = { fleet: 'test', issued_at: '2026-01-01T00:00:00Z', reasons: [] };
    const all = { ...fields, ...signed, expires_at: '2099-01-01T00:00:00Z', seq: 9, threshold: 1 };
    const strangers = progressNow(all, [fixedSeed(9)]);
    const releases = progressNow(all, [fleet.seeds.release]);
    const widened = withPayload(true7, (text) => text.replace('"threshold":0.5', '"threshold":1'));
    const ofAnother = fleet.progress({ ...signed, rollout: 'other', seq: 9, threshold: 1 });
    for (const forged of [strangers, releases, widened, ofAnother, Buffer.from('{}')]) {
      await relay.say(topic, forged);
    }
    await above.send(topic, true7, RETAINED); // the true word opens one half
    await inside.runs('1.0.0');
    for (const forged of [strangers, releases, widened, ofAnother]) {
      await relay.say(topic, forged);
      await relay.say(topic, true7);
    }
    // Once it has the last message, it has all of them.
    await relay.say(topic, fleet.progress({ ...signed, seq: 8 }));
    await waitUntil('the last word', async () => {
      const seen = await readFile(join(outside.root, 'state/seen.json'), 'utf8');
      return seen.includes(`"${ID}":8`);
    });
    assert.equal(await outside.version(), null);
    // It can move: the plan's next step takes it along.
    await relay.say(topic, fleet.progress({ ...signed, seq: 9, wave: 2, threshold: 1 }));
    await outside.runs('1.0.0');
  });
});

it('a relay of ours hands on nothing of what a false one above makes up, nor forgets its floors', async (t) => {
  const site = await Site.open(t);
  await writeFile(site.path('trust.json'), fleet.trustBytes);
  const cloud = await startBrokerChild(t);
  const above = await FalseRelay.open(t, cloud.url);
  const start = (data?: string): Promise<RelayChild> =>
    startRelayChild(t, site, { upstream: above.url, name: 'site-a', ...(data ? { data } : {}) });
  let relay = await start();
  const heard = new Map<string, Uint8Array>();
  const listen = async (): Promise<void> => {
    const onMessage = (topic: string, payload: Uint8Array): void =>
      void heard.set(topic, payload.slice());
    const wire = await connectWire({ url: relay.url, clientId: 'r' }, { onMessage }, LOG);
    t.after(() => wire.close());
    await wire.subscribe(['fleet/updates', 'fleet/rollouts/+'], 1);
  };
  await listen();
  const refused = async (code: string): Promise<void> => {
    const line = new RegExp(`drover_refusals_total\\{code="${code}"\\} [1-9]`);
    await waitUntil(`${code} at the relay`, async () => {
      return line.test(await (await fetch(`${relay.httpUrl}/metrics`)).text());
    });
  };
  const bundle = await fleet.makeBundle({ version: '1.0.0' });
  const good = fleet.announce(5, [fleet.makeRollout('x', bundle)]);
  const topic = progressTopic(parseRolloutId('gone'));
  await above.say(UPDATES_TOPIC, good);
  await above.say(topic, fleet.progress({ rollout: 'gone', seq: 7 }));
  await waitUntil('both', () => heard.size === 2);
  assert.deepEqual(Buffer.from(heard.get(UPDATES_TOPIC) ?? ''), Buffer.from(good));

  await above.say(UPDATES_TOPIC, fleet.announce(4, []));
  await refused('ANNOUNCEMENT_REPLAYED');
  await above.say(UPDATES_TOPIC, announcementNow(strangers(9), [fixedSeed(9)]));
  await refused('ENVELOPE_KEY_UNKNOWN');
  await above.say(UPDATES_TOPIC, new Uint8Array());
  await above.say(topic, new Uint8Array()); // nobody announces it: it may be cleared
  await waitUntil('the clearing', () => heard.get(topic)?.byteLength === 0);

  const { data } = relay;
  await relay.child.stop();
  relay = await start(data);
  heard.clear();
  await listen();
  await above.say(topic, fleet.progress({ rollout: 'gone', seq: 6 }));
  await refused('ANNOUNCEMENT_REPLAYED');
  assert.deepEqual([...heard.keys()], [UPDATES_TOPIC]);
  assert.deepEqual(Buffer.from(heard.get(UPDATES_TOPIC) ?? ''), Buffer.from(good));
});

function strangers(seq: number): AnnouncementFields {
  const dates = { issued_at: '2026-01-01T00:00:00Z', expires_at: '2099-01-01T00:00:00Z' };
  return { fleet: 'test', seq, ...dates, rollouts: [] };
}

/** The envelope with another payload under the same signature. */
function withPayload(envelope: Uint8Array, change: (text: string) => string): Uint8Array {
  const fields = JSON.parse(Buffer.from(envelope).toString()) as { payload: string };
  const text = change(Buffer.from(fields.payload, 'base64').toString());
  const payload = Buffer.from(text).toString('base64');
  assert.notEqual(payload, fields.payload);
  return Buffer.from(JSON.stringify({ ...fields, payload }));
}
