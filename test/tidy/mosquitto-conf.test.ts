/**
 * mosquitto.conf is part of the product: each number in it is one of shared/base/limits.ts, and the
 * installed mosquitto must do with it what the comments say.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import {
  chunkTopic,
  LEASE_TOPIC,
  PROGRESS_FILTER,
  robotFilter,
  robotTopic,
  UPDATES_TOPIC,
} from '../../shared/formats/topics.ts';
import { connectWire, type MqttWire, type MqttWireOptions } from '../../shared/io/mqtt-wire.ts';
import { findPeer } from '../helpers/peer.ts';
import { productConfig, startMosquitto } from '../helpers/mosquitto.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const text = readFileSync(repositoryFile('mosquitto.conf'), 'utf8');

function setting(name: string): string {
  const found = new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1];
  assert.ok(found, `mosquitto.conf sets ${name}`);
  return found;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** A link of ours that keeps what arrives, by topic. */
async function connect(
  t: TestContext,
  options: Pick<MqttWireOptions, 'url' | 'clientId' | 'username' | 'password'>,
): Promise<{ wire: MqttWire; got: Map<string, Buffer> }> {
  const got = new Map<string, Buffer>();
  const onMessage = (topic: string, payload: Uint8Array): void => {
    got.set(topic, Buffer.from(payload));
  };
  const wire = await connectWire(options, { onMessage }, quiet);
  t.after(() => wire.close());
  return { wire, got };
}

test('mosquitto.conf agrees with shared/base/limits.ts', () => {
  const packetBytes = LIMITS.chunkBytesMax + LIMITS.packetOverheadBytesMax;
  assert.equal(Number(setting('max_packet_size')), packetBytes);
  assert.equal(Number(setting('max_connections')), LIMITS.connectionsMaxDefault);
  assert.equal(Number(setting('max_queued_messages')), LIMITS.controlMessagesMax);
  assert.ok(Number(setting('max_queued_bytes')) >= LIMITS.windowBytesMax);
  assert.ok(Number(setting('max_inflight_messages')) >= 2 * LIMITS.windowChunksMax);
});

test('mosquitto.conf says why above each setting, with a comment of its own', () => {
  const lines = text.split('\n');
  // A line that is commented out is a setting to uncomment, not a reason.
  const isReason = (line: string): boolean => /^# \S/.test(line);
  const isSetting = (line: string): boolean => /^[a-z_]+ /.test(line);
  const bare = lines.filter((line, at) => isSetting(line) && !isReason(lines[at - 1] ?? ''));
  assert.ok(lines.filter(isSetting).length >= 12);
  assert.deepEqual(bare, []);
});

for (const chunkBytes of [LIMITS.chunkBytesDefault, LIMITS.chunkBytesMax]) {
  test(`a stock mosquitto gives back retained chunks of ${chunkBytes / 1024} KiB`, async (t) => {
    const broker = await startMosquitto(t);
    if (!broker) return;
    const publisher = await connect(t, { url: broker.url, clientId: 'publisher' });
    const chunks = Array.from({ length: 12 }, () => randomBytes(chunkBytes));
    for (const chunk of chunks) {
      const topic = chunkTopic(sha256Hex(chunk));
      await publisher.wire.send(topic, chunk, { retain: true, qos: 1 });
    }
    const robot = await connect(t, { url: broker.url, clientId: 'robot-r1' });
    const topics = chunks.map((chunk) => chunkTopic(sha256Hex(chunk)));
    for (let at = 0; at < topics.length; at += LIMITS.filtersPerSubscribeMax) {
      await robot.wire.subscribe(topics.slice(at, at + LIMITS.filtersPerSubscribeMax), 1);
    }
    await waitUntil('all chunks', () => robot.got.size === chunks.length);
    for (const [at, topic] of topics.entries()) {
      assert.ok(robot.got.get(topic)?.equals(chunks[at] as Buffer));
    }
  });
}

test('a packet above the limit ends its connection and is never acknowledged', async (t) => {
  const broker = await startMosquitto(t);
  if (!broker) return;
  const { wire } = await connect(t, { url: broker.url, clientId: 'publisher' });
  const large = new Uint8Array(LIMITS.chunkBytesMax + LIMITS.packetOverheadBytesMax);
  await assert.rejects(wire.send('fleet/updates', large, { retain: true, qos: 1 }), {
    code: 'BROKER_UNREACHABLE',
  });
});

test('retained messages are there again after mosquitto was stopped and started', async (t) => {
  const first = await startMosquitto(t);
  if (!first) return;
  const publisher = await connect(t, { url: first.url, clientId: 'publisher' });
  const retained = { retain: true, qos: 1 } as const;
  await publisher.wire.send(UPDATES_TOPIC, new Uint8Array([1, 2, 3]), retained);
  await publisher.wire.close();
  await first.child.stop();
  const second = await startMosquitto(t, { folder: first.folder });
  assert.ok(second);
  const robot = await connect(t, { url: second.url, clientId: 'robot-r1' });
  await robot.wire.subscribe([UPDATES_TOPIC], 1);
  const bytes = await waitUntil('the announcement', () => robot.got.get(UPDATES_TOPIC));
  assert.deepEqual([...bytes], [1, 2, 3]);
});

test("mosquitto.conf works as a part of Debian's own configuration", async (t) => {
  const broker = await startMosquitto(t, {
    config: async (port, folder) => {
      const parts = join(folder, 'conf.d');
      await mkdir(parts);
      await writeFile(join(parts, 'drover.conf'), await productConfig(port));
      // The lines of Debian's /etc/mosquitto/mosquitto.conf, with folders of the test.
      return [
        `pid_file ${folder}/mosquitto.pid`,
        'persistence true',
        `persistence_location ${folder}/`,
        `log_dest file ${folder}/mosquitto.log`,
        `include_dir ${parts}`,
        '',
      ].join('\n');
    },
  });
  if (!broker) return;
  const { wire } = await connect(t, { url: broker.url, clientId: 'publisher' });
  await wire.send(UPDATES_TOPIC, new Uint8Array([1]), { retain: true, qos: 1 });
});

/** Our file with the lines uncommented that it tells to uncomment, and the access list in it. */
async function withPasswords(port: number, folder: string): Promise<string> {
  const acl = [...text.matchAll(/^#:acl (.+)$/gm)].map((match) => match[1]).join('\n');
  const aclFile = join(folder, 'drover.acl');
  await writeFile(aclFile, `${acl}\n`, { mode: 0o600 });
  const passwords = join(folder, 'drover.passwd');
  const users = ['drover-publisher:p1', 'r1:p2', 'drover-broker:p3'];
  await writeFile(passwords, `${users.join('\n')}\n`, { mode: 0o600 });
  const hashed = spawnSync(findPeer('mosquitto_passwd') ?? '', ['-U', passwords]);
  assert.equal(hashed.status, 0, hashed.stderr?.toString());
  return (await productConfig(port))
    .replace(/^allow_anonymous true$/m, 'allow_anonymous false')
    .replace(/^#password_file .*$/m, `password_file ${passwords}`)
    .replace(/^#acl_file .*$/m, `acl_file ${aclFile}`);
}

test('the password and access lines to uncomment keep robots to their own topics', async (t) => {
  const broker = await startMosquitto(t, { config: withPasswords });
  if (!broker) return;
  const { url } = broker;
  await assert.rejects(connect(t, { url, clientId: 'nobody' }), { code: 'BROKER_AUTH_REFUSED' });

  const user = { url, clientId: 'publisher', username: 'drover-publisher', password: 'p1' };
  const publisher = await connect(t, user);
  await publisher.wire.subscribe(['fleet/#'], 1);
  const robot = await connect(t, { url, clientId: 'robot-r1', username: 'r1', password: 'p2' });
  await robot.wire.subscribe([UPDATES_TOPIC], 1);

  const live = { retain: false, qos: 1 } as const;
  const [r1, r2] = [parseRobotId('r1'), parseRobotId('r2')];
  const online = encodeMessage({ online: true });
  // mosquitto acknowledges what it drops, so the forged ones go first and the true one ends it.
  await robot.wire.send(UPDATES_TOPIC, online, live);
  await robot.wire.send(robotTopic(r2, 'online'), online, live);
  await robot.wire.send(robotTopic(r1, 'online'), online, live);
  await waitUntil('the word of r1', () => publisher.got.has(robotTopic(r1, 'online')));
  assert.deepEqual([...publisher.got.keys()], [robotTopic(r1, 'online')]);

  await publisher.wire.send(UPDATES_TOPIC, online, live);
  await waitUntil('the announcement', () => robot.got.has(UPDATES_TOPIC));
});

test('an attached broker may lead and put chunks back, and speak for no robot', async (t) => {
  const engine = await startMosquitto(t, { config: withPasswords });
  if (!engine) return;
  const { url } = engine;
  const login = { username: 'drover-broker', password: 'p3' };
  const { wire, got } = await connect(t, { url, clientId: 'broker', ...login });
  const chunk = randomBytes(100);
  const [state, kept] = [robotTopic(parseRobotId('r1'), 'state'), chunkTopic(sha256Hex(chunk))];
  const own = [UPDATES_TOPIC, 'fleet/rollouts/app-1', LEASE_TOPIC, kept];
  await wire.subscribe([UPDATES_TOPIC, PROGRESS_FILTER, LEASE_TOPIC, kept], 1);
  await wire.subscribe([robotFilter('state')], 1);
  const robot = await connect(t, { url, clientId: 'r1', username: 'r1', password: 'p2' });
  await wire.send(state, chunk, { retain: true, qos: 1 });
  for (const topic of own) await wire.send(topic, chunk, { retain: true, qos: 1 });
  await waitUntil('its own words', () => own.every((topic) => got.has(topic)));
  assert.equal(got.has(state), false, 'what it said for a robot was dropped');
  const report = encodeMessage({ online: true });
  await robot.wire.send(state, report, { retain: true, qos: 1 });
  await waitUntil('the word of the robot', () => got.get(state)?.equals(report));
});
