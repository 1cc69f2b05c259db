/**
 * A robot's presence that was published with stolen credentials ends with the connection that
 * published it.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { encodeMessage } from '../../shared/formats/messages.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { relayTopic, robotTopic } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWireOptions } from '../../shared/io/mqtt-wire.ts';
import { startDrover } from '../helpers/child.ts';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';

const RETAINED = { retain: true, qos: 1 } as const;
const online = robotTopic(parseRobotId('evil'), 'online');
const component = { name: 'app', version: '1.0.0', phase: 'idle' } as const;

interface Stage {
  readonly port: number;
  login(user: Login, more?: Partial<Pick<MqttWireOptions, 'will' | 'url'>>): Promise<Wire>;
  readonly evil: Login;
  readonly hall: Login;
  /** As the API says it, and as `drover fleet robots` does. */
  shown(): Promise<[api: boolean, fleet: boolean]>;
  retire(): Promise<string>;
}

async function stageOf(t: TestContext): Promise<Stage> {
  const file = join(await tempFolder(t), 'credentials.json');
  const evil = await addUser(file, 'evil', 'robot');
  const hall = await addUser(file, 'hall', 'relay');
  const ci = await addUser(file, 'ci', 'publisher');
  const broker = await startBrokerChild(t, { args: ['--credentials', file] });
  const env = { DROVER_USERNAME: 'ci', DROVER_PASSWORD: ci.password, DROVER_TOKEN: ci.password };
  const drover = async (...args: string[]): Promise<string> => {
    const child = startDrover(t, 'publisher', args, { env });
    await child.exit;
    return child.describe();
  };
  const login: Stage['login'] = async (user, more = {}) => {
    const options = { url: broker.url, clientId: `t-${randomBytes(4).toString('hex')}` };
    const log = makeLog('test', 'silent');
    const wire = await connectWire({ ...options, ...user, ...more }, { onMessage: () => {} }, log);
    t.after(() => wire.close());
    return wire;
  };
  const shown: Stage['shown'] = async () => {
    const headers = { authorization: `Bearer ${ci.password}` };
    const response = await fetch(`${broker.httpUrl}/robots/evil`, { headers });
    assert.equal(response.status, 200);
    const said = (await response.json()) as { online: boolean };
    const table = await drover('fleet', 'robots', '--broker', broker.url);
    return [said.online, /evil +yes/.test(table)];
  };
  const retire = (): Promise<string> => drover('fleet', 'retire', 'evil', '--api', broker.httpUrl);
  return { port: broker.port, login, evil, hall, shown, retire };
}

async function report(wire: Wire): Promise<void> {
  const state = { robot_id: 'evil', at: new Date().toISOString(), components: [component] };
  const topic = robotTopic(parseRobotId('evil'), 'state');
  await wire.send(topic, encodeMessage(state), RETAINED);
}

/** Both soon say that it is away, and it can be retired. */
async function isGone({ shown, retire }: Stage): Promise<void> {
  await waitUntil('it to be away', async () => !(await shown()).includes(true));
  assert.match(await retire(), /retired evil/);
}

test('a robot that names a relay, and goes without a will, is away and can be retired', async (t) => {
  const stage = await stageOf(t);
  const relay = await stage.login(stage.hall);
  await relay.send(relayTopic('hall'), encodeMessage({ online: true }), RETAINED);
  for (const via of ['no-such-site', 'hall', undefined]) {
    const thief = await stage.login(stage.evil);
    await report(thief);
    await thief.send(online, encodeMessage({ online: true, ...(via && { via }) }), RETAINED);
    const isOn = via !== 'no-such-site';
    assert.deepEqual(await stage.shown(), [isOn, isOn], `both say the same of ${via}`);
    await thief.close();
    await isGone(stage);
  }
});

test('a will that says that its robot is there is not taken', async (t) => {
  const stage = await stageOf(t);
  const will = { topic: online, payload: encodeMessage({ online: true }), retain: true };
  const proxy = await startTcpProxy(t, stage.port);
  const url = `mqtt://127.0.0.1:${proxy.port}`;
  const thief = await stage.login(stage.evil, { will, url });
  await report(thief);
  await thief.send(online, encodeMessage({ online: true }), RETAINED);
  proxy.refuse(true);
  proxy.cut();
  await isGone(stage);
});

test('a robot behind a relay is there for as long as the relay is, here and for drover fleet', async (t) => {
  const stage = await stageOf(t);
  const relay = await stage.login(stage.hall);
  await report(relay);
  await relay.send(relayTopic('hall'), encodeMessage({ online: true }), RETAINED);
  await relay.send(online, encodeMessage({ online: true, via: 'hall' }), RETAINED);
  assert.deepEqual(await stage.shown(), [true, true]);
  assert.match(await stage.retire(), /relay hall reports for it/);
  await relay.send(relayTopic('hall'), encodeMessage({ online: false }), RETAINED);
  assert.deepEqual(await stage.shown(), [false, false]);
  assert.match(await stage.retire(), /retired evil/, 'a relay that is gone keeps no robot');
});
