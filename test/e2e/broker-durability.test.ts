/**
 * "Kill the broker with SIGKILL at any moment: every acknowledged message is there after restart."
 * A real broker is killed again and again while a publisher, a robot and an absent subscriber use
 * it; what was acknowledged before each kill is looked for after it.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import mqtt, { type MqttClient } from 'mqtt';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { chunkTopic, robotFilter, robotTopic } from '../../shared/formats/topics.ts';
import { startDrover } from '../helpers/child.ts';
import { freePort } from '../helpers/free-port.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';

const KILLS = 12;
const ROBOT = parseRobotId('r1');
const quiet = makeLog('test', 'silent');

/** Everything that the broker has acknowledged so far. */
interface Acknowledged {
  readonly chunks: Sha256Hex[];
  readonly events: Set<number>;
  /** Number of the newest retained state. */
  state: number;
}

/** A wire that is closed when the test is over, however it ends. */
async function open(
  t: TestContext,
  url: string,
  clientId: string,
  onMessage: (topic: string, payload: Uint8Array) => void = () => {},
): Promise<Wire> {
  const wire = await connectWire({ url, clientId }, { onMessage }, quiet);
  t.after(() => wire.close());
  return wire;
}

/** Sends as fast as it is acknowledged until the link breaks; notes what was acknowledged. */
async function sendUntilCut(
  wire: Wire,
  acknowledged: Acknowledged,
  first: number,
): Promise<number> {
  let next = first;
  try {
    for (;;) {
      const number = next;
      next += 1;
      const chunk = randomBytes(20_000);
      const hash = sha256Hex(chunk);
      const count = new TextEncoder().encode(JSON.stringify({ count: number }));
      await Promise.all([
        wire.send(chunkTopic(hash), chunk, { retain: true, qos: 1 }).then(() => {
          acknowledged.chunks.push(hash);
        }),
        wire.send(robotTopic(ROBOT, 'events'), count, { retain: false, qos: 1 }).then(() => {
          acknowledged.events.add(number);
        }),
        wire.send(robotTopic(ROBOT, 'state'), count, { retain: true, qos: 1 }).then(() => {
          acknowledged.state = number;
        }),
      ]);
    }
  } catch {
    return next; // the broker was killed: what was under way may or may not be there
  }
}

function connected(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once('connect', () => resolve()));
}

async function persistentSubscriber(url: string): Promise<MqttClient> {
  const client = mqtt.connect(url, { clientId: 'auditor', clean: false, reconnectPeriod: 0 });
  await connected(client);
  return client;
}

async function subscribeAndLeave(url: string): Promise<void> {
  const client = await persistentSubscriber(url);
  await client.subscribeAsync(robotFilter('events'), { qos: 1 });
  await client.endAsync();
}

async function assertChunksThere(
  t: TestContext,
  url: string,
  hashes: readonly Sha256Hex[],
): Promise<void> {
  const found = new Set<string>();
  const wire = await open(
    t,
    url,
    'reader',
    (_topic, payload) => void found.add(sha256Hex(payload)),
  );
  for (let at = 0; at < hashes.length; at += 4) {
    const group = hashes.slice(at, at + 4);
    await wire.subscribe(group.map(chunkTopic), 1);
    await waitUntil('acknowledged chunks', () => group.every((hash) => found.has(hash)), {
      look: () => `${group.filter((hash) => !found.has(hash)).length} of a group are lost`,
    });
    await wire.unsubscribe(group.map(chunkTopic));
  }
  await wire.close();
}

async function assertStateThere(t: TestContext, url: string, atLeast: number): Promise<void> {
  let seen = -1;
  const wire = await open(t, url, 'state-reader', (_topic, payload) => {
    seen = (JSON.parse(Buffer.from(payload).toString()) as { count: number }).count;
  });
  await wire.subscribe([robotTopic(ROBOT, 'state')], 1);
  await waitUntil('the retained state', () => seen >= 0);
  assert.ok(seen >= atLeast, `state ${seen} is older than the acknowledged ${atLeast}`);
  await wire.close();
}

async function assertEventsThere(url: string, numbers: ReadonlySet<number>): Promise<void> {
  const got = new Set<number>();
  const client = mqtt.connect(url, { clientId: 'auditor', clean: false, reconnectPeriod: 0 });
  client.on('message', (_topic, payload) => {
    got.add((JSON.parse(payload.toString()) as { count: number }).count);
  });
  await connected(client);
  await waitUntil('every acknowledged event', () => [...numbers].every((one) => got.has(one)), {
    look: () => `lost: ${[...numbers].filter((one) => !got.has(one)).join(' ')}`,
  });
  await client.endAsync();
}

async function killAgainAndAgain(t: TestContext): Promise<void> {
  const data = await tempFolder(t);
  const port = await freePort();
  const acknowledged: Acknowledged = { chunks: [], events: new Set(), state: -1 };
  let next = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const broker = await startBrokerChild(t, { data, port });
    if (kill === 0) await subscribeAndLeave(broker.url);
    const wire = await open(t, broker.url, `publisher-${kill}`);
    const sending = sendUntilCut(wire, acknowledged, next);
    await sleep(30 + Math.random() * 250);
    broker.child.kill('SIGKILL');
    await broker.child.exit;
    next = await sending;
    await wire.close();
  }
  const broker = await startBrokerChild(t, { data, port });
  t.diagnostic(
    `${acknowledged.chunks.length} chunks and ${acknowledged.events.size} events acknowledged over ${KILLS} kills`,
  );
  assert.ok(acknowledged.chunks.length > KILLS, 'the broker acknowledged next to nothing');
  await assertChunksThere(t, broker.url, acknowledged.chunks);
  await assertStateThere(t, broker.url, acknowledged.state);
  await assertEventsThere(broker.url, acknowledged.events);
}

describe('the broker', () => {
  it('keeps every acknowledged message through SIGKILL at any moment [P-7.7]', killAgainAndAgain);

  it('lets no second broker touch its data folder', async (t) => {
    const first = await startBrokerChild(t);
    const args = ['--data', first.data, '--mqtt', '0', '--http', '0'];
    const second = startDrover(t, 'broker', args);
    await second.exit;
    assert.equal(second.ended?.code, 2, second.describe());
    assert.match(second.stderr, /DATA_LOCKED/);
    const wire = await open(t, first.url, 'still-there');
    const online = encodeMessage({ online: true });
    await wire.send(robotTopic(ROBOT, 'online'), online, { retain: true, qos: 1 });
    await wire.close();
  });
});
