/** A broker that is stopped and started again, seen by a session, by a reader and over HTTP. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { encodeMessage, type RobotEventFields } from '../../shared/formats/messages.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { makeState } from '../broker/reports.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { addUser } from './credentials.ts';
import { connectClient } from './mqtt-client.ts';

const RETAINED = { retain: true, qos: 1 } as const;
const EVENT: RobotEventFields = {
  robot_id: 'r1',
  event_seq: 1,
  at: '2026-01-01T00:00:00Z',
  component: 'app',
  from: 'idle',
  to: 'downloading',
  event: 'chosen',
  target_version: '2.0.0',
};

async function restart(
  t: TestContext,
  broker: BrokerChild,
  args: readonly string[] = [],
): Promise<BrokerChild> {
  broker.child.kill('SIGTERM');
  const exit = await broker.child.exit;
  assert.deepEqual(exit, { code: 0, signal: null }, broker.child.describe());
  return await startBrokerChild(t, { data: broker.data, args });
}

const bytes = (message: Uint8Array): Buffer => Buffer.from(message);

describe('a broker that is stopped and started again', () => {
  it('has every message, every chunk and every queue, and what was cleared stays so', async (t) => {
    const first = await startBrokerChild(t);
    const session = { clientId: 'auditor', clean: false };
    const auditor = await connectClient(t, first.url, session);
    await auditor.subscribeAsync('fleet/robots/+/events', { qos: 1 });
    await auditor.endAsync();
    const announcement = makeFleet().announce(3, []);
    const chunk = randomBytes(30_000);
    const sender = await connectClient(t, first.url, { clientId: 'sender' });
    await sender.publishAsync('fleet/updates', bytes(announcement), RETAINED);
    await sender.publishAsync(chunkTopic(sha256Hex(chunk)), chunk, RETAINED);
    await sender.publishAsync('fleet/robots/r1/events', bytes(encodeMessage(EVENT)), { qos: 1 });
    await sender.publishAsync('fleet/rollouts/x-1', 'old', RETAINED);
    await sender.publishAsync('fleet/rollouts/x-1', '', RETAINED);

    const second = await restart(t, first);
    const found = new Map<string, Buffer>();
    const reader = await connectClient(t, second.url, { clientId: 'reader' });
    reader.on('message', (topic, payload) => found.set(topic, payload));
    await reader.subscribeAsync(['fleet/updates', 'fleet/rollouts/+'], { qos: 1 });
    await reader.subscribeAsync(chunkTopic(sha256Hex(chunk)), { qos: 1 });
    await waitUntil('the announcement and the chunk', () => found.size === 2);
    assert.deepEqual(found.get('fleet/updates'), bytes(announcement));
    assert.deepEqual(found.get(chunkTopic(sha256Hex(chunk))), chunk);
    const queued: string[] = [];
    await connectClient(t, second.url, session, ({ topic }) => queued.push(topic));
    await waitUntil('the queued event', () => queued.length > 0);
    assert.deepEqual(queued, ['fleet/robots/r1/events']);
  });
});

describe('the API of a broker with credentials', () => {
  it('follows a robot live, and knows it again after a restart', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const r1 = await addUser(file, 'r1', 'robot');
    const op = await addUser(file, 'op', 'technician');
    const args = ['--credentials', file];
    const first = await startBrokerChild(t, { args });
    const headers = { authorization: `Bearer ${op.password}` };
    const get = (broker: BrokerChild, path: string): Promise<Response> =>
      fetch(broker.httpUrl + path, { headers });
    const asRobot = { authorization: `Bearer ${r1.password}` };
    assert.equal((await fetch(`${first.httpUrl}/robots`)).status, 401);
    assert.equal((await fetch(`${first.httpUrl}/robots`, { headers: asRobot })).status, 403);

    const stream = await get(first, '/events');
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    const robot = await connectClient(t, first.url, { clientId: 'robot-r1', ...r1 });
    const { at, ...state } = makeState('r1', { version: '1.2.3' });
    const fields = { ...state, at: new Date(at).toISOString() };
    await robot.publishAsync('fleet/robots/r1/state', JSON.stringify(fields), RETAINED);
    await robot.publishAsync('fleet/robots/r1/events', bytes(encodeMessage(EVENT)), { qos: 1 });
    let told = '';
    while (!told.includes('"downloading"')) told += (await reader?.read())?.value ?? '(ended)';
    await reader?.cancel();
    const metrics = await (await get(first, '/metrics')).text();
    assert.match(metrics, /^drover_/m);
    await robot.endAsync();

    const second = await restart(t, first, args);
    const { versions } = (await (await get(second, '/robots/versions')).json()) as {
      versions: object[];
    };
    assert.deepEqual(versions, [{ robot_id: 'r1', version: '1.2.3' }]);
    assert.equal((await get(second, '/robots/r2')).status, 404);
    const answer = (await (await get(second, '/rollouts')).json()) as { rollouts: object[] };
    assert.deepEqual(answer.rollouts, []);
    assert.equal((await fetch(`${second.httpUrl}/healthz`)).status, 200);
  });
});
