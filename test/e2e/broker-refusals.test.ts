/** Refusals of the broker, as the publisher and other MQTT clients see them. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { peekAnnouncement } from '../../shared/formats/announcement.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { chunkTopic, robotTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

const RETAINED = { retain: true, qos: 1 } as const;
const ROBOT = parseRobotId('r1');

async function open(
  t: TestContext,
  url: string,
  onMessage: (topic: string, payload: Uint8Array) => void = () => {},
): Promise<Wire> {
  const clientId = `test-${randomBytes(4).toString('hex')}`;
  const quiet = makeLog('test', 'silent');
  const wire = await connectWire({ url, clientId, listenForRefusals: true }, { onMessage }, quiet);
  t.after(() => wire.close());
  return wire;
}

async function startTrusting(t: TestContext, trustBytes: Uint8Array): Promise<BrokerChild> {
  const trust = join(await tempFolder(t), 'trust.json');
  await writeFile(trust, trustBytes);
  return await startBrokerChild(t, { args: ['--trust', trust] });
}

/** The retained message of a topic. */
async function stored(t: TestContext, url: string, topic: string): Promise<Uint8Array> {
  const found: Uint8Array[] = [];
  const wire = await open(t, url, (_topic, payload) => void found.push(payload.slice()));
  await wire.subscribe([topic], 1);
  return await waitUntil(`what is stored on ${topic}`, () => found[0]);
}

describe('a store that is full', () => {
  it('ends `drover publish` with its code, and goes on serving what it has', async (t) => {
    const broker = await startBrokerChild(t, { args: ['--max-store', '1M'] });
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    const noise = randomBytes(1_500_000);
    const large = site.publishArgs(broker.url, await site.bundle('1.1.0', { noise }));
    const refused = await site.tryDrover({}, ...large);
    assert.equal(refused.ended?.code, 3, refused.describe());
    assert.match(refused.stderr, /STORE_FULL/);
    await robot.runs('1.0.0');
  });
});

describe('a message above its bound', () => {
  it('is refused by its code, and the connection goes on', async (t) => {
    const broker = await startBrokerChild(t);
    const wire = await open(t, broker.url);
    for (const [topic, bytesMax] of [
      [robotTopic(ROBOT, 'state'), LIMITS.reportBytesMax],
      ['fleet/rollouts/x-1', LIMITS.reportBytesMax],
      [UPDATES_TOPIC, LIMITS.controlMessageBytesMax],
    ] as const) {
      const tooLarge = wire.send(topic, randomBytes(bytesMax + 1), RETAINED);
      await assert.rejects(tooLarge, { code: 'DOCUMENT_TOO_LARGE' }, topic);
      await wire.send(topic, randomBytes(bytesMax), RETAINED);
    }
  });
});

describe('a broker with a trust file', () => {
  it('takes the newest of announcements that come at once, and stores no older one', async (t) => {
    const fleet = makeFleet();
    const broker = await startTrusting(t, fleet.trustBytes);
    const wires = await Promise.all(Array.from({ length: 4 }, () => open(t, broker.url)));
    const taken: number[] = [];
    const sendAll = async (wire: Wire, first: number): Promise<void> => {
      for (const seq of Array.from({ length: 10 }, (_, at) => at * wires.length + first)) {
        await wire.send(UPDATES_TOPIC, fleet.announce(seq, []), RETAINED).then(
          () => void taken.push(seq),
          (error: { code: string }) => assert.equal(error.code, 'ANNOUNCEMENT_REPLAYED'),
        );
      }
    };
    await Promise.all(wires.map((wire, at) => sendAll(wire, at + 1)));
    const { seq } = peekAnnouncement(await stored(t, broker.url, UPDATES_TOPIC));
    assert.equal(seq, Math.max(...taken));
    assert.equal(seq, 40);
  });

  it('takes one of two that have the same number', async (t) => {
    const fleet = makeFleet();
    const broker = await startTrusting(t, fleet.trustBytes);
    const wires = await Promise.all(Array.from({ length: 6 }, () => open(t, broker.url)));
    const until = (at: number) => ({ expires_at: `2098-01-0${at + 1}T00:00:00Z` });
    const outcomes = await Promise.allSettled(
      wires.map((wire, at) => wire.send(UPDATES_TOPIC, fleet.announce(7, [], until(at)), RETAINED)),
    );
    const refused = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    assert.deepEqual(
      refused.map(({ code }: { code: string }) => code),
      Array.from({ length: 5 }, () => 'SEQ_CONFLICT'),
    );
  });

  it('refuses progress that is forged, of another rollout, older or expired', async (t) => {
    const fleet = makeFleet();
    const broker = await startTrusting(t, fleet.trustBytes);
    const wire = await open(t, broker.url);
    const topic = 'fleet/rollouts/x-1';
    const good = fleet.progress({ rollout: 'x-1', seq: 10 });
    await wire.send(topic, good, RETAINED);
    const cases: [string, Uint8Array][] = [
      ['ANNOUNCEMENT_REPLAYED', fleet.progress({ rollout: 'x-1', seq: 9 })],
      ['SEQ_CONFLICT', fleet.progress({ rollout: 'x-1', seq: 10, threshold: 0 })],
      ['ANNOUNCEMENT_INVALID', fleet.progress({ rollout: 'x-2', seq: 11 })],
      ['FLEET_WRONG', makeFleet('other').progress({ rollout: 'x-1', seq: 11 })],
      ['ENVELOPE_TYPE_WRONG', fleet.announce(11, [])],
      [
        'ANNOUNCEMENT_EXPIRED',
        fleet.progress({ rollout: 'x-1', seq: 11, expires_at: '2026-01-02T00:00:00Z' }),
      ],
      ['JSON_INVALID', randomBytes(30)],
    ];
    for (const [code, bytes] of cases) {
      await assert.rejects(wire.send(topic, bytes, RETAINED), { code }, code);
    }
    assert.deepEqual(Buffer.from(await stored(t, broker.url, topic)), Buffer.from(good));
  });
});

describe('a robot that wants a chunk', () => {
  it('gets it again, and a rotten one as soon as a client brings it', async (t) => {
    const broker = await startBrokerChild(t);
    const chunk = randomBytes(5_000);
    const hash = sha256Hex(chunk);
    let got = 0;
    const robot = await open(t, broker.url, (_topic, payload) => {
      assert.equal(sha256Hex(payload), hash);
      got += 1;
    });
    const publisher = await open(t, broker.url);
    await publisher.send(chunkTopic(hash), chunk, RETAINED);
    await robot.subscribe([chunkTopic(hash)], 1);
    await waitUntil('the chunk', () => got === 1);
    const want = (): Promise<void> => {
      const fields = { robot_id: ROBOT, at: '2026-01-01T00:00:00Z', chunks: [hash] };
      return robot.send(robotTopic(ROBOT, 'want'), encodeMessage(fields), {
        qos: 1,
        retain: false,
      });
    };
    await want();
    await waitUntil('the chunk again', () => got === 2);
    const shard = join(broker.data, 'chunks', hash.slice(0, 2));
    await writeFile(join(shard, hash), 'rotten');
    await want();
    await waitUntil('the rotten file to go', async () => (await readdir(shard)).length === 0);
    await publisher.send(chunkTopic(hash), chunk, RETAINED);
    await waitUntil('the healed chunk', () => got === 3);
  });
});
