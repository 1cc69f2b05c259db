/** Credentials over the wire, and the whole life of an update behind them. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWireOptions } from '../../shared/io/mqtt-wire.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { robotTopic, type RobotLeaf } from '../../shared/formats/topics.ts';
import { startChild } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';
import { Site } from './site.ts';

const RETAINED = { retain: true, qos: 1 } as const;
const topicOf = (robot: string, leaf: RobotLeaf): string => robotTopic(parseRobotId(robot), leaf);

async function login(
  t: TestContext,
  url: string,
  options: Login & Pick<MqttWireOptions, 'will'>,
): Promise<Wire> {
  const clientId = `test-${randomBytes(4).toString('hex')}`;
  const quiet = makeLog('test', 'silent');
  const wire = await connectWire({ url, clientId, ...options }, { onMessage: () => {} }, quiet);
  t.after(() => wire.close());
  return wire;
}

const environment = ({ username, password }: Login): Record<string, string> => ({
  DROVER_USERNAME: username,
  DROVER_PASSWORD: password,
});

describe('a broker with credentials', () => {
  it('takes a password that a person chose, and no other', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const ci = await addUser(file, 'ci', 'publisher', 'correct horse battery');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    for (const url of [broker.url, broker.wsUrl]) {
      const wire = await login(t, url, ci);
      await wire.subscribe(['fleet/updates'], 1);
      await assert.rejects(login(t, url, { ...ci, password: 'correct horse' }), {
        code: 'BROKER_AUTH_REFUSED',
      });
    }
  });

  it('refuses a will that its client could not publish, before anything else', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const r1 = await addUser(file, 'r1', 'robot');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const payload = encodeMessage({ online: false });
    for (const topic of [topicOf('r2', 'online'), 'fleet/updates', 'fleet/refusals/x']) {
      const foreign = { ...r1, will: { topic, payload, retain: true } };
      await assert.rejects(login(t, broker.url, foreign), { code: 'BROKER_AUTH_REFUSED' }, topic);
    }
    const own = { topic: topicOf('r1', 'online'), payload, retain: true };
    await login(t, broker.url, { ...r1, will: own });
  });

  it('ends the connection of a robot that writes for another, and keeps nothing of it', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const r1 = await addUser(file, 'r1', 'robot');
    const op = await addUser(file, 'op', 'technician');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const wire = await login(t, broker.url, r1);
    const online = encodeMessage({ online: true });
    const foreign = wire.send(topicOf('r2', 'online'), online, RETAINED);
    await assert.rejects(foreign, { code: 'BROKER_UNREACHABLE' });
    const headers = { authorization: `Bearer ${op.password}` };
    const answer = await fetch(`${broker.httpUrl}/robots/r2`, { headers });
    assert.equal(answer.status, 404);
  });

  it('carries a whole update over WebSockets, and shows it to a technician', async (t) => {
    const file = join(await tempFolder(t), 'credentials.json');
    const ci = await addUser(file, 'ci', 'publisher');
    const r1 = await addUser(file, 'r1', 'robot');
    const op = await addUser(file, 'op', 'technician');
    const broker = await startBrokerChild(t, { args: ['--credentials', file] });
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.wsUrl, [], environment(r1));
    const args = site.publishArgs(broker.wsUrl, await site.bundle('1.0.0'));
    const stranger = await site.tryDrover({}, ...args);
    assert.equal(stranger.ended?.code, 3, stranger.describe());
    assert.match(stranger.stderr, /BROKER_AUTH_REFUSED/);
    const published = await site.tryDrover(environment(ci), ...args);
    assert.equal(published.ended?.code, 0, published.describe());
    await robot.runs('1.0.0');
    const next = site.publishArgs(broker.wsUrl, await site.bundle('1.1.0'));
    const asTechnician = await site.tryDrover(environment(op), ...next);
    assert.equal(asTechnician.ended?.code, 3, asTechnician.describe());
    assert.match(asTechnician.stderr, /ACCESS_DENIED/);
    if (requirePeer(t, 'curl') === null || requirePeer(t, 'jq') === null) return;
    const pipe = `curl -s "$URL/robots/versions" -H "Authorization: Bearer $TOKEN" \
| jq -c '.versions | group_by(.version) | map({version: .[0].version, count: length})'`;
    const env = { URL: broker.httpUrl, TOKEN: op.password };
    const shell = startChild(t, 'sh', ['-c', pipe], { env });
    await shell.exit;
    assert.equal(shell.stdout, '[{"version":"1.0.0","count":1}]\n', shell.describe());
  });
});
