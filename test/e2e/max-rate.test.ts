/**
 * `drover-broker --max-rate`: the rate of chunks, the order of their readers, and messages that do
 * not wait for it.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { chunkTopic, robotTopic } from '../../shared/formats/topics.ts';
import { startDrover } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';

const KiB = 1024;
const quiet = makeLog('test', 'silent');

interface Reader {
  readonly wire: MqttWire;
  /** Sizes of the chunks that came, and topics of everything else. */
  readonly chunks: number[];
  readonly others: string[];
}

async function reader(t: TestContext, broker: BrokerChild, clientId: string): Promise<Reader> {
  const chunks: number[] = [];
  const others: string[] = [];
  const onMessage = (topic: string, payload: Uint8Array): void => {
    if (topic.startsWith('fleet-chunks/')) chunks.push(payload.byteLength);
    else others.push(topic);
  };
  const wire = await connectWire({ url: broker.url, clientId }, { onMessage }, quiet);
  t.after(() => wire.close());
  return { wire, chunks, others };
}

async function stored(wire: MqttWire, count: number, bytes: number): Promise<Sha256Hex[]> {
  const hashes: Sha256Hex[] = [];
  for (let at = 0; at < count; at += 1) {
    const chunk = randomBytes(bytes);
    const hash = sha256Hex(chunk);
    await wire.send(chunkTopic(hash), chunk, { retain: true, qos: 1 });
    hashes.push(hash);
  }
  return hashes;
}

const ask = (wire: MqttWire, hashes: readonly Sha256Hex[]): Promise<void[]> =>
  Promise.all(hashes.map((hash) => wire.subscribe([chunkTopic(hash)], 1)));

async function metric(broker: BrokerChild, name: string): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

describe('the rate of a broker', () => {
  it('bounds chunks and nothing else, and forgets a client that has left', async (t) => {
    const broker = await startBrokerChild(t, { args: ['--max-rate', '1k'] });
    const { wire } = await reader(t, broker, 'publisher');
    const hashes = await stored(wire, 6, 64 * KiB);
    const state = robotTopic(parseRobotId('r1'), 'online');
    await wire.send(state, encodeMessage({ online: true }), { retain: true, qos: 1 });
    const robot = await reader(t, broker, 'robot');
    await ask(robot.wire, hashes);
    await ask(robot.wire, hashes.slice(1)); // they are late: asked twice, and still one wish each
    await waitUntil('the first chunk', () => robot.chunks.length === 1);
    // The next of this robot; its others wait behind that one, in the row of its connection.
    const waiting = (count: number) => async () =>
      (await metric(broker, 'drover_chunk_turns_waiting')) === count;
    await waitUntil('its next chunk to wait', waiting(1));
    assert.equal(await metric(broker, 'drover_chunk_bytes_per_second_max'), KiB);
    assert.equal(await metric(broker, 'drover_chunk_bytes_served_total'), 64 * KiB);
    await robot.wire.subscribe([chunkTopic(hashes[5] as Sha256Hex), state], 1);
    await waitUntil('a control message', () => robot.others.includes(state));
    assert.equal(robot.chunks.length, 1, 'the next chunk is a minute away');
    await robot.wire.close();
    await waitUntil('its turns to be given up', waiting(0));
  });

  it('is shared by all clients that pull, however much each asks for, and never passed', async (t) => {
    const rate = 512 * KiB;
    const broker = await startBrokerChild(t, { args: ['--max-rate', String(rate)] });
    const { wire } = await reader(t, broker, 'publisher');
    const hashes = await stored(wire, 12, 128 * KiB);
    const greedy = await reader(t, broker, 'greedy');
    const modest = await reader(t, broker, 'modest');
    const startedAtMs = performance.now();
    await ask(greedy.wire, hashes);
    await ask(modest.wire, hashes.slice(0, 2));
    await waitUntil('what the modest one asked for', () => modest.chunks.length === 2);
    assert.ok(greedy.chunks.length < hashes.length, 'the greedy one waits in between');
    await waitUntil('all the rest', () => greedy.chunks.length === hashes.length);
    const seconds = (performance.now() - startedAtMs) / 1000;
    const bytes = (hashes.length + 2) * 128 * KiB;
    const most = rate * (seconds + LIMITS.rateBurstMs / 1000) + LIMITS.chunkBytesDefault;
    assert.ok(bytes <= most, `${bytes} bytes in ${seconds} s`);
  });

  it('is not promised for an external engine', async (t) => {
    const engine = ['--engine', 'mqtt://127.0.0.1:1', '--max-rate', '1M'];
    const child = startDrover(t, 'broker', ['--data', await tempFolder(t), ...engine]);
    await child.exit;
    assert.match(child.stderr, /max-rate/);
    assert.equal(child.ended?.code, 2);
  });
});
