/** Downloads over links that fail on demand, with real robots and real brokers. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { callLocalApi } from '../../robot-client/local/client.ts';
import { chunkTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeFleet, tarGz } from '../helpers/fleet.ts';
import { startRawBroker } from '../helpers/raw-broker.ts';

import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { startTrickleProxy } from '../helpers/trickle-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const MiB = 1024 * 1024;
/** Bytes a second: the middle of a download is not missed on a busy machine. */
const SLOW = MiB / 4;
const CHUNK = 64 * 1024;
/** The bytes that one cut can lose: the largest window of a pull, and the rest of a packet. */
const LOST_PER_CUT = 9 * CHUNK;
/** Control messages and the heads of packets, for a whole test. */
const TALK = 200_000;

interface Stage {
  readonly site: Site;
  readonly broker: BrokerChild;
  readonly noise: Buffer;
}

/** A broker with one version of so many bytes that do not compress. */
async function published(t: TestContext, bytes: number): Promise<Stage> {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const noise = randomBytes(bytes);
  const bundle = await site.bundle('1.0.0', { noise });
  await site.publish(broker.url, bundle, '--chunk-size', '64k');
  return { site, broker, noise };
}

async function isUp(robot: Robot): Promise<boolean> {
  const status = await callLocalApi(join(robot.root, 'state/agent.sock'), 'GET', '/status');
  return (status as unknown as { link: { up: boolean } }).link.up;
}

const halfWay = (robot: Robot, share: number): Promise<unknown> =>
  robot.until(
    'is on its way',
    ({ transfer: at }) => at !== null && at.bytes_done >= at.bytes_total * share,
    60_000,
  );

describe('a download', () => {
  it('outlives a broker that dies and comes back, and fetches nothing twice', async (t) => {
    const { site, broker, noise } = await published(t, 3 * MiB);
    const proxy = await startTcpProxy(t, broker.port);
    proxy.throttle(SLOW);
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`);
    const cuts = [0.2, 0.5, 0.8];
    let { child } = broker;
    for (const share of cuts) {
      await halfWay(robot, share);
      child.kill('SIGKILL');
      await child.exit;
      const again = await startBrokerChild(t, { data: broker.data, port: broker.port });
      child = again.child;
    }
    await robot.runs('1.0.0', 60_000);
    const excess = proxy.bytesDown - noise.byteLength;
    assert.ok(excess < cuts.length * LOST_PER_CUT + TALK, `${excess} bytes too many`);
  });

  it('gets through a link that breaks every few hundred kilobytes', async (t) => {
    const { site, broker, noise } = await published(t, 2 * MiB);
    const proxy = await startTcpProxy(t, broker.port);
    let cuts = 0;
    const flap = setInterval(() => {
      if (proxy.connectionsOpen > 0) return;
      cuts += 1;
      proxy.cutAfter(300_000 + Math.floor(Math.random() * 300_000));
    }, 20);
    t.after(() => clearInterval(flap));
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`);
    const status = await robot.runs('1.0.0', 90_000);
    assert.equal(status.last_error, null);
    const excess = proxy.bytesDown - noise.byteLength;
    assert.ok(excess < 10 * LOST_PER_CUT + TALK, `${excess} bytes too many`);
    assert.ok(cuts >= 3);
  });

  it('notices a link that is dead without a word, says so, and goes on over a new one', async (t) => {
    const { site, broker, noise } = await published(t, 2 * MiB);
    const proxy = await startTcpProxy(t, broker.port);
    proxy.throttle(SLOW);
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`, ['--keepalive', '2s']);
    await halfWay(robot, 0.3);
    proxy.stall(true);
    await waitUntil('the robot to notice', async () => !(await isUp(robot)), { timeoutMs: 30_000 });
    const { lines } = (await callLocalApi(
      join(robot.root, 'state/agent.sock'),
      'GET',
      '/explain',
    )) as { lines: string[] };
    assert.match(lines[0] ?? '', /is down, trying again/);
    proxy.stall(false);
    proxy.throttle(null);
    await robot.runs('1.0.0', 60_000);
    const excess = proxy.bytesDown - noise.byteLength;
    assert.ok(excess < 2 * LOST_PER_CUT + TALK, `${excess} bytes too many`);
  });

  it('does nothing wrong at a few bytes per second, and finishes when the link is good', async (t) => {
    const { site, broker } = await published(t, MiB);
    const proxy = await startTrickleProxy(t, broker.port, 100);
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`, ['--keepalive', '2s']);
    await waitUntil('some bytes to come down', () => proxy.trickled >= 60, { timeoutMs: 30_000 });
    const slow = await robot.status();
    assert.deepEqual([slow.version, slow.last_error], [null, null], 'slow is no failure');
    proxy.mend();
    await robot.runs('1.0.0', 60_000);
  });

  it('says which chunks the broker has lost, and goes on when they are published again', async (t) => {
    const { site, broker } = await published(t, 2 * MiB);
    const proxy = await startTcpProxy(t, broker.port);
    proxy.throttle(SLOW);
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`);
    await halfWay(robot, 0.4);
    broker.child.kill('SIGKILL');
    await broker.child.exit;
    const chunks = join(broker.data, 'chunks');
    for (const name of await readdir(chunks)) await rm(join(chunks, name), { recursive: true });
    proxy.throttle(null);
    const { port, data } = broker;
    await startBrokerChild(t, { data, port });
    const stalled = await robot.until(
      'says what it lacks',
      ({ waiting_for: reason }) => /chunks that the broker does not send/.test(reason ?? ''),
      60_000,
    );
    assert.equal(stalled.phase, 'downloading');
    const kept = stalled.transfer?.bytes_done ?? 0;
    assert.ok(kept > 0.3 * 2 * MiB, 'what was verified is kept');
    const more = ['--chunk-size', '64k', '--upload-only'];
    await site.publish(broker.url, site.path('bundles/1.0.0'), ...more);
    const status = await robot.runs('1.0.0', 60_000);
    assert.equal(status.waiting_for, null);
  });
});

/** Says everything twice, chunks in the wrong order, and old announcements after new ones. */
async function startUnrulyBroker(
  t: TestContext,
  said: { announcements: readonly Uint8Array[]; chunks: ReadonlyMap<string, Uint8Array> },
): Promise<string> {
  const publish = (topic: string, payload: Uint8Array): Packet => ({
    ...{ cmd: 'publish', topic, qos: 0, dup: false, retain: true },
    payload: Buffer.from(payload),
  });
  const { url } = await startRawBroker(t, (packet, send) => {
    if (packet.cmd === 'pingreq') send({ cmd: 'pingresp' });
    if (packet.cmd === 'publish' && packet.qos === 1) {
      send({ cmd: 'puback', messageId: packet.messageId ?? 0 });
    }
    if (packet.cmd === 'unsubscribe') {
      send({ cmd: 'unsuback', messageId: packet.messageId ?? 0 } as Packet);
    }
    if (packet.cmd !== 'subscribe') return;
    const topics = packet.subscriptions.map(({ topic }) => topic);
    if (topics.includes(UPDATES_TOPIC)) {
      for (const one of said.announcements) send(publish(UPDATES_TOPIC, one));
    }
    const answers = topics.flatMap((topic) => {
      const bytes = said.chunks.get(topic);
      return bytes ? [publish(topic, bytes)] : [];
    });
    for (const one of [...answers.toReversed(), ...answers]) send(one);
  });
  return url;
}

describe('messages that come twice and in the wrong order', () => {
  it('make one update, to the newest version', async (t) => {
    const fleet = makeFleet();
    const noise = randomBytes(MiB);
    const old = await fleet.makeBundle({ version: '1.0.0' });
    const bundle = await fleet.makeBundle({
      version: '1.1.0',
      payload: await tarGz({ VERSION: '1.1.0', noise: noise.toString('base64') }),
      chunkBytes: CHUNK,
    });
    const first = fleet.announce(1, [fleet.makeRollout('old', old)]);
    const second = fleet.announce(2, [fleet.makeRollout('new', bundle)]);
    const chunks = new Map(
      [...old.chunks, ...bundle.chunks].map(([hash, bytes]) => [chunkTopic(hash), bytes]),
    );
    const url = await startUnrulyBroker(t, {
      announcements: [second, first, second, first, first, second],
      chunks,
    });
    const site = await Site.open(t);
    await writeFile(site.path('trust.json'), fleet.trustBytes);
    const robot = site.robot('r1', url);
    await robot.hook('start', 'echo "$DROVER_VERSION" >> "$DROVER_ROOT/started"');
    const status = await robot.runs('1.1.0');
    assert.equal(status.previous_version, null, 'the older announcement was never taken');
    assert.equal(await readFile(join(robot.root, 'started'), 'utf8'), '1.1.0\n', 'once');
  });
});
