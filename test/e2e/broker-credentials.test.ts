/**
 * A credentials file changes while the broker runs: new users get in, removed ones are
 * disconnected.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { robotTopic } from '../../shared/formats/topics.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';

const RETAINED = { retain: true, qos: 1 } as const;
const quiet = makeLog('test', 'silent');

async function login(t: TestContext, url: string, who: Login): Promise<Wire> {
  const clientId = `test-${randomBytes(4).toString('hex')}`;
  const wire = await connectWire({ url, clientId, ...who }, { onMessage: () => {} }, quiet);
  t.after(() => wire.close());
  return wire;
}

/** Acknowledged: the connection is there and its user is still let in. */
async function assertHeard(wire: Wire, robot: string): Promise<void> {
  const topic = robotTopic(parseRobotId(robot), 'online');
  await wire.send(topic, encodeMessage({ online: true }), RETAINED);
}

async function removeUser(file: string, username: string): Promise<void> {
  const { users } = JSON.parse(await readFile(file, 'utf8')) as { users: { username: string }[] };
  const rest = users.filter((one) => one.username !== username);
  await writeFile(file, JSON.stringify({ users: rest }));
}

describe('a credentials file that changes', () => {
  it('lets new users in and ends those that are removed or renewed, over MQTT and HTTP', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const r1 = await addUser(file, 'r1', 'robot');
    const r2 = await addUser(file, 'r2', 'robot');
    const r3 = await addUser(file, 'r3', 'robot');
    const op = await addUser(file, 'op', 'technician');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const removed = await login(t, broker.url, r1);
    const renewed = await login(t, broker.wsUrl, r2);
    const kept = await login(t, broker.url, r3);
    const headers = { authorization: `Bearer ${op.password}` };
    const events = await fetch(`${broker.httpUrl}/events`, { headers });
    assert.equal(events.status, 200);
    const followed = events.text(); // resolves when the stream is ended by the broker

    await removeUser(file, 'r1');
    await removeUser(file, 'op');
    const fresh = await addUser(file, 'r2', 'robot');
    const r4 = await addUser(file, 'r4', 'robot');
    await waitUntil('the removed robot to be cut off', () => !removed.isUp);
    await waitUntil('the renewed robot to be cut off', () => !renewed.isUp);
    await followed;
    await waitUntil(
      'the new robot to be let in',
      async () => (await login(t, broker.url, r4)).isUp,
    );
    await assertHeard(kept, 'r3');
    await assertHeard(await login(t, broker.url, fresh), 'r2');
    for (const old of [r1, r2]) {
      await assert.rejects(login(t, broker.url, old), { code: 'BROKER_AUTH_REFUSED' });
    }
    assert.equal((await fetch(`${broker.httpUrl}/robots`, { headers })).status, 401);
  });

  it('is read at once on SIGHUP; a broken one is named in the log and changes nothing', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const r1 = await addUser(file, 'r1', 'robot');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const wire = await login(t, broker.url, r1);
    await writeFile(file, '{"users": [');
    broker.child.kill('SIGHUP');
    await broker.child.waitForOutput(/CREDENTIALS_INVALID.*the previous ones stay in force/);
    await assertHeard(wire, 'r1');
    await assertHeard(await login(t, broker.url, r1), 'r1');
    await writeFile(file, '{"users": []}');
    broker.child.kill('SIGHUP');
    await waitUntil('the robot to be cut off', () => !wire.isUp);
    assert.equal(broker.child.ended, null, 'SIGHUP is no end');
  });
});
