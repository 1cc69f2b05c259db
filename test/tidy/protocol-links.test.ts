/** docs/protocol.md §2 and §7 to §9, clause by clause: topics, chunks, reports, refusals. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeChunkIndex, parseChunkIndex } from '../../shared/transfer/chunk-index.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import {
  encodeMessage,
  encodeRefusal,
  parseOnline,
  parseRefusal,
  parseRobotEvent,
  parseRobotState,
  parseWant,
  PHASES,
} from '../../shared/formats/messages.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { ChunkPull, type PullEffect } from '../../shared/transfer/pull.ts';
import { filterSweepsChunks, parseTopic } from '../../shared/formats/topics.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { ChunkLink } from '../../robot-client/fleet/chunk-link.ts';
import { cutChunks } from '../helpers/fleet.ts';
import { startRawBroker } from '../helpers/raw-broker.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const KiB = 1024;
const HASH = 'ab'.repeat(32);
const AT = '2026-01-01T00:00:00Z';
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const hashOf = (n: number): Sha256Hex => sha256Hex(utf8(String(n)));

test('these topics are ours and no others [P-2.1]', () => {
  const kinds = {
    'fleet/updates': 'updates',
    'fleet/rollouts/r-1': 'progress',
    'fleet/trust/2': 'trust',
    'fleet/robots/r1/state': 'robot',
    'fleet/robots/r1/online': 'robot',
    'fleet/robots/r1/events': 'robot',
    'fleet/robots/r1/want': 'robot',
    'fleet/relays/site-a/online': 'relay',
    'fleet/refusals/cli-1': 'refusals',
    [`fleet-chunks/${HASH}`]: 'chunk',
  };
  for (const [topic, kind] of Object.entries(kinds)) assert.equal(parseTopic(topic)?.kind, kind);
  const others = ['fleet', 'fleet/trust/02', 'fleet/robots/r1', 'fleet/robots/r.1/state'];
  const more = ['fleet/robots/r1/state/x', `fleet-chunks/${HASH.toUpperCase()}`, '/fleet/updates'];
  for (const topic of [...others, ...more]) assert.equal(parseTopic(topic), null, topic);
});

test('a chunk filter names one chunk, and fleet/# none [P-2.2] [P-2.3]', () => {
  const sweeping = ['#', 'fleet-chunks/#', 'fleet-chunks/+', '+/+', '+/#', `+/${HASH}`];
  for (const filter of sweeping) assert.equal(filterSweepsChunks(filter), true, filter);
  const fine = ['fleet/#', 'fleet/robots/+/state', `fleet-chunks/${HASH}`];
  for (const filter of fine) assert.equal(filterSweepsChunks(filter), false, filter);
});

test('a payload is cut into full chunks and a shorter last one [P-7.1]', () => {
  const payload = new Uint8Array(40 * KiB).map((_, at) => at % 251);
  const { chunks } = cutChunks(payload, 16 * KiB);
  const index = [...chunks.values()].at(-1) as Uint8Array;
  const parsed = parseChunkIndex(index, { size: payload.byteLength, chunk_size: 16 * KiB });
  const lengths = parsed.chunks.map((hash) => chunks.get(hash)?.byteLength);
  assert.deepEqual(lengths, [16 * KiB, 16 * KiB, 8 * KiB]);
});

test('a chunk is known by its own hash, whatever topic it came on [P-7.2]', async () => {
  const link = new ChunkLink(parseRobotId('r1'), () => ({}) as Wire, quiet);
  const seen: Sha256Hex[] = [];
  const onChunk = async (hash: Sha256Hex) => void seen.push(hash);
  const detach = link.attach({ onChunk, onUp: () => undefined, onDown: () => undefined });
  await link.deliver(utf8('1'));
  detach();
  await link.deliver(utf8('2'));
  assert.deepEqual(seen, [hashOf(1)]);
});

test('a chunk index is raw hashes in order, and its length is checked [P-7.3]', () => {
  const bytes = encodeChunkIndex([hashOf(1), hashOf(2)]);
  assert.equal(Buffer.from(bytes).toString('hex'), hashOf(1) + hashOf(2));
  const artifact = { size: 16 * KiB + 1, chunk_size: 16 * KiB };
  assert.deepEqual(parseChunkIndex(bytes, artifact).chunks, [hashOf(1), hashOf(2)]);
  for (const size of [16 * KiB, 33 * KiB]) {
    assert.throws(() => parseChunkIndex(bytes, { ...artifact, size }), {
      code: 'CHUNK_INDEX_INVALID',
    });
  }
  const tooMany = { size: 16_385 * 16 * KiB, chunk_size: 16 * KiB };
  assert.throws(() => parseChunkIndex(new Uint8Array(16_385 * 32), tooMany), {
    code: 'CHUNK_INDEX_INVALID',
  });
});

const asked = (effects: readonly PullEffect[]): Sha256Hex[] =>
  effects.flatMap((effect) => (effect.kind === 'subscribe' ? effect.hashes : []));

test('a pull starts with 2 chunks and holds at most 8 and 2 MiB [P-7.4]', () => {
  for (const [chunkBytes, windowMax] of [
    [256 * KiB, 8],
    [512 * KiB, 4],
  ] as const) {
    const missing = Array.from({ length: 200 }, (_, at) => hashOf(at));
    const pull = new ChunkPull({ missing, chunkBytes });
    const open = asked(pull.up(0));
    assert.equal(open.length, 2);
    let most = 0;
    for (let now = 1; open.length > 0; now += 1) {
      const hash = open.shift() as Sha256Hex;
      const effects = pull.kept(hash, chunkBytes, now);
      for (const effect of effects) {
        if (effect.kind === 'subscribe') assert.ok(effect.hashes.length <= 4);
      }
      open.push(...asked(effects));
      most = Math.max(most, open.length);
    }
    assert.equal(most, windowMax);
    assert.equal(pull.missingCount, 0);
  }
});

test('a pull asks again, then on want from the third time, then gives up after 12 [P-7.5]', () => {
  const pull = new ChunkPull({ missing: [hashOf(1)], chunkBytes: 256 * KiB });
  const questions: string[] = [];
  const waits: number[] = [];
  let now = 0;
  for (let effects = pull.up(now); ; effects = pull.timer(now)) {
    questions.push(effects.map(({ kind }) => kind).join('+'));
    const wakeAtMs = pull.wakeAtMs;
    if (wakeAtMs === null) break;
    waits.push((wakeAtMs - now) / 1000);
    now = wakeAtMs;
  }
  assert.deepEqual(waits.slice(0, 6), [5, 10, 20, 40, 80, 120]);
  const asks = questions.slice(0, -1);
  assert.deepEqual(asks, ['subscribe', 'subscribe', ...Array(10).fill('subscribe+want')]);
  assert.equal(questions.at(-1), 'unsubscribe+gaveUp');
});

test('a peer that announces a larger packet loses its connection [P-7.8]', async (t) => {
  const broker = await startRawBroker(t);
  const downs: string[] = [];
  const handlers = { onMessage() {}, onDown: (reason: string) => void downs.push(reason) };
  const wire = await connectWire({ url: broker.url, clientId: 'r1' }, handlers, quiet);
  t.after(() => wire.close());
  // PUBLISH with a remaining length of 2 MiB, and not one byte of its body.
  broker.sendBytes(new Uint8Array([0x30, 0x80, 0x80, 0x80, 0x01]));
  await waitUntil('the end of the connection', () => downs.length > 0);
  assert.match(downs[0] ?? '', /larger than any message of ours/);
});

test('presence is one field [P-8.1]', () => {
  assert.equal(new TextDecoder().decode(encodeMessage({ online: true })), '{"online":true}');
  assert.equal(parseOnline(utf8('{"online":false}')), false);
});

const component = { name: 'app', version: null, phase: 'idle' } as const;

test('a state needs a robot, an instant and a component; phases are ten [P-8.2] [P-8.3]', () => {
  const state = (more: object) =>
    parseRobotState(
      utf8(JSON.stringify({ robot_id: 'r1', at: AT, components: [component], ...more })),
    );
  assert.deepEqual(state({}).components[0]?.blocked, []);
  const bad = [{ components: [] }, { robot_id: 'r.1' }, { at: 'now' }];
  for (const more of [...bad, { components: [{ ...component, phase: 'asleep' }] }]) {
    assert.throws(() => state(more), { code: 'JSON_INVALID' });
  }
  assert.equal(PHASES.length, 10);
  for (const phase of PHASES) state({ components: [{ ...component, phase }] });
});

test('a robot says its machine and its modules, and how a component is applied [P-8.11]', () => {
  const component = { name: 'arm', version: '1.0.0', phase: 'idle', strategy: 'module/arm' };
  const said = { compatible: ['board-3'], modules: ['arm', 'container'] };
  const bytes = utf8(JSON.stringify({ robot_id: 'r1', at: AT, components: [component], ...said }));
  const { compatible, modules, components } = parseRobotState(bytes);
  assert.deepEqual({ compatible, modules }, said);
  assert.equal(components[0]?.strategy, 'module/arm');
  const [plain] = parseRobotState(
    utf8(
      JSON.stringify({ robot_id: 'r1', at: AT, components: [{ ...component, strategy: 'slot' }] }),
    ),
  ).components;
  assert.equal(plain?.strategy, 'slot'); // of a newer robot
});

test('an event has its number and its phases; a new code is kept [P-8.4] [P-8.6]', () => {
  const event = {
    robot_id: 'r1',
    event_seq: 7,
    at: AT,
    component: 'app',
    from: 'probation',
    to: 'rolling_back',
    event: 'unhealthy',
    problem: { code: 'CODE_OF_TOMORROW', message: 'x' },
  };
  const parsed = parseRobotEvent(utf8(JSON.stringify(event)));
  assert.deepEqual([parsed.event_seq, parsed.problem?.code], [7, 'CODE_OF_TOMORROW']);
  const { event_seq, ...without } = event;
  assert.equal(event_seq, 7);
  assert.throws(() => parseRobotEvent(utf8(JSON.stringify(without))), { code: 'JSON_INVALID' });
});

test('want names chunks or a package [P-8.5]', () => {
  const robot_id = parseRobotId('r1');
  const want = (more: object) => parseWant(utf8(JSON.stringify({ robot_id, at: AT, ...more })));
  assert.equal(want({ chunks: [HASH] }).chunks.length, 1);
  assert.throws(() => want({ chunks: Array(33).fill(HASH) }), { code: 'JSON_INVALID' });
  const wanted = { component: 'app', arch: 'x86_64', current_version: '0.9.0' };
  const versions = { wanted_version: '2.0.0', min_current_version: '1.0.0' };
  assert.equal(want({ package: { ...wanted, ...versions } }).package?.wanted_version, '2.0.0');
});

test('a refusal ends what was sent to that topic and not acknowledged [P-9.2]', async (t) => {
  const broker = await startRawBroker(t);
  const options = { url: broker.url, clientId: 'cli-1', listenForRefusals: true };
  const wire = await connectWire(options, { onMessage() {} }, quiet);
  t.after(() => wire.close());
  const topic = `fleet-chunks/${HASH}`;
  const sent = wire.send(topic, utf8('x'), { retain: true, qos: 1 });
  const failed = assert.rejects(sent, { code: 'STORE_FULL', message: 'no room' });
  await waitUntil('the chunk', () => broker.received.some(({ cmd }) => cmd === 'publish'));
  const refusal = { code: 'STORE_FULL', message: 'no room', topic } as const;
  broker.send({
    cmd: 'publish',
    topic: 'fleet/refusals/cli-1',
    payload: Buffer.from(encodeRefusal(refusal)),
    qos: 0,
    dup: false,
    retain: false,
  });
  await failed;
  const unknown = utf8(JSON.stringify({ ...refusal, code: 'CODE_OF_TOMORROW' }));
  assert.throws(() => parseRefusal(unknown), { code: 'JSON_INVALID' });
});
