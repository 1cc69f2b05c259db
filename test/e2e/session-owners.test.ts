/**
 * Sessions that outlive their connections belong to a user, count in the user's share, and end with
 * the user.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LIMITS } from '../../shared/base/limits.ts';
import { startDrover } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { relayClientId } from '../../shared/formats/client-ids.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { addUser, type Login } from './credentials.ts';

const EVENTS = 'fleet/robots/+/events';

interface Site {
  readonly broker: BrokerChild;
  readonly file: string;
  readonly data: string;
  readonly users: Readonly<Record<'pub' | 'tech' | 'r1' | 'site', Login>>;
}

async function makeSite(t: TestContext): Promise<Site> {
  const folder = await tempFolder(t);
  const file = join(folder, 'credentials.json');
  const data = join(folder, 'data');
  const users = {
    pub: await addUser(file, 'pub', 'publisher'),
    tech: await addUser(file, 'tech', 'technician'),
    r1: await addUser(file, 'r1', 'robot'),
    site: await addUser(file, 'site', 'relay'),
  };
  const broker = await startBrokerChild(t, { data, args: ['--credentials', file] });
  return { broker, file, data, users };
}

/** @returns the client, or the return code of a CONNACK that refuses */
async function connect(
  t: TestContext,
  url: string,
  options: IClientOptions,
): Promise<MqttClient | number> {
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  t.after(() => client.endAsync(true));
  return await new Promise((resolve) => {
    client.once('connect', () => resolve(client));
    client.on('error', (error) => resolve((error as { code?: number }).code ?? -1));
  });
}

async function keep(
  t: TestContext,
  url: string,
  options: IClientOptions,
  filter = EVENTS,
): Promise<number | undefined> {
  const client = await connect(t, url, { clean: false, ...options });
  if (typeof client === 'number') return assert.fail(`CONNACK ${client}`);
  const granted = new Promise<number | undefined>((resolve) => {
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'suback') resolve((packet.granted as number[])[0]);
    });
  });
  client.subscribe(filter, { qos: 1 }, () => undefined);
  const code = await granted;
  await client.endAsync();
  return code;
}

interface Listed {
  readonly client_id: string;
  readonly owner: string | null;
  readonly queued: number;
}

async function listSessions({ broker, users }: Site): Promise<Listed[]> {
  const headers = { authorization: `Bearer ${users.tech.password}` };
  const response = await fetch(`${broker.httpUrl}/sessions`, { headers });
  return ((await response.json()) as { sessions: Listed[] }).sessions;
}

describe('a session that outlives its connection', () => {
  it('belongs to its user, also while that is away and after a restart', async (t) => {
    const site = await makeSite(t);
    const { url } = site.broker;
    assert.equal(await keep(t, url, { clientId: 'desk', ...site.users.tech }), 1);
    for (const clean of [true, false]) {
      assert.equal(await connect(t, url, { clientId: 'desk', clean, ...site.users.pub }), 2);
    }
    site.broker.child.kill('SIGTERM');
    await site.broker.child.exit;
    const args = ['--credentials', site.file];
    const again = await startBrokerChild(t, { data: site.data, args });
    assert.equal(await connect(t, again.url, { clientId: 'desk', ...site.users.pub }), 2);
    assert.equal(
      typeof (await connect(t, again.url, { clientId: 'desk', ...site.users.tech })),
      'object',
    );
  });

  it('counts in the share of its user, which takes nothing from others', async (t) => {
    const { broker, users } = await makeSite(t);
    for (let at = 0; at < LIMITS.sessionsPerUserMax; at += 1) {
      assert.equal(await keep(t, broker.url, { clientId: `t${at}`, ...users.tech }), 1);
    }
    assert.equal(await keep(t, broker.url, { clientId: 'one-more', ...users.tech }), 0x80);
    assert.equal(await keep(t, broker.url, { clientId: 't3', ...users.tech }), 1);
    assert.equal(await keep(t, broker.url, { clientId: 'other', ...users.pub }), 1);
  });

  it('is listed, and removed by its id or with its user', async (t) => {
    const site = await makeSite(t);
    const { broker, users, file } = site;
    await keep(t, broker.url, { clientId: 'desk', ...users.tech });
    await keep(t, broker.url, { clientId: 'ci', ...users.pub }, 'fleet/robots/+/state');
    const names = (await listSessions(site)).map(({ client_id: id, owner }) => `${id} ${owner}`);
    assert.deepEqual(names.sort(), ['ci user:pub', 'desk user:tech']);

    const cli = startDrover(t, 'publisher', [
      ...['fleet', 'remove-session', 'ci', '--api', broker.httpUrl, '--json'],
      ...['--token-file', await tokenFile(t, users.pub)],
    ]);
    await cli.exit;
    assert.equal(cli.ended?.code, 0, cli.describe());
    assert.deepEqual(
      (await listSessions(site)).map(({ client_id: id }) => id),
      ['desk'],
    );

    const { users: all } = JSON.parse(await readFile(file, 'utf8')) as {
      users: { username: string }[];
    };
    const left = all.filter(({ username }) => username !== 'tech');
    await writeFile(file, JSON.stringify({ users: left }));
    await waitUntil('the session to be removed', () => {
      return broker.child.stderr.includes('removed the session of a user who is gone');
    });
  });
});

async function tokenFile(t: TestContext, { password }: Login): Promise<string> {
  const path = join(await tempFolder(t), 'token');
  await writeFile(path, password);
  return path;
}

/** A CONNECT without an id that wants its session kept: our library sends none such. @returns code */
async function connectNameless(port: number, { username, password }: Login): Promise<number> {
  const text = (value: string): number[] => [0, value.length, ...Buffer.from(value)];
  const [level, userAndPassword, keepalive] = [4, 0xc0, [0, 60]];
  const header = [...text('MQTT'), level, userAndPassword, ...keepalive];
  const rest = [...header, ...text(''), ...text(username), ...text(password)];
  const socket = connectTcp(port, '127.0.0.1');
  socket.write(Buffer.from([0x10, rest.length, ...rest]));
  const [connack] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return connack[3] ?? -1;
}

describe('a client id', () => {
  it('is needed for a session that is kept [MQTT-3.1.3-8], and has a bound', async (t) => {
    const { broker, users } = await makeSite(t);
    assert.equal(await connectNameless(broker.port, users.tech), 2);
    const long = 'x'.repeat(LIMITS.clientIdLengthMax + 1);
    assert.equal(await connect(t, broker.url, { clientId: long, ...users.tech }), 2);
    const fits = await connect(t, broker.url, { clientId: long.slice(1), ...users.tech });
    assert.equal(typeof fits, 'object');
  });

  it('of a relay is kept for its user while the relay is away', async (t) => {
    const { broker, users } = await makeSite(t);
    const relay = await connect(t, broker.url, { clientId: 'north', ...users.site });
    assert.ok(typeof relay !== 'number');
    await relay.endAsync();
    for (const clientId of ['north', 'relay-0123']) {
      assert.equal(await connect(t, broker.url, { clientId, ...users.r1 }), 2, clientId);
    }
    const back = await connect(t, broker.url, { clientId: 'north', ...users.site });
    assert.equal(typeof back, 'object');
  });

  it('of a relay is for its user before the relay was ever there, for each connection', async (t) => {
    const { broker, users } = await makeSite(t);
    const control = relayClientId('north', users.site.username);
    const ids = [control, `${control}-chunks`, 'site', 'site-chunks'];
    for (const clientId of ids) {
      for (const who of [users.r1, users.tech, users.pub]) {
        const options = { clientId, clean: false, ...who };
        assert.equal(await connect(t, broker.url, options), 2, `${clientId} ${who.username}`);
      }
    }
    for (const clientId of ids) {
      assert.equal(typeof (await connect(t, broker.url, { clientId, ...users.site })), 'object');
    }
  });

  it('that is refused gives its client an error of its own, with a hint', async (t) => {
    const { broker, users } = await makeSite(t);
    const link = { url: broker.url, clientId: 'robot-r2', ...users.r1 };
    const log = makeLog('test', 'silent');
    const refused = { code: 'CLIENT_ID_REFUSED', message: /client id robot-r2/, hint: /sessions/ };
    await assert.rejects(connectWire(link, { onMessage: () => undefined }, log), refused);
  });

  it('of a robot whose user is another is refused as that, not as a secret that is wrong', async (t) => {
    const { broker, users } = await makeSite(t);
    const connectAs = async (
      clientId: string,
      who: Partial<Login>,
      of: string,
    ): Promise<unknown> => {
      const will = { topic: `fleet/robots/${of}/online`, payload: Buffer.from('{}') };
      return await connect(t, broker.url, {
        clientId,
        will: { ...will, qos: 1, retain: true },
        ...who,
      });
    };
    const [ID_REJECTED, BAD_CREDENTIALS, NOT_AUTHORIZED] = [2, 4, 5];
    assert.equal(await connectAs('robot-r2', users.r1, 'r2'), ID_REJECTED);
    assert.equal(await connectAs('robot-r1', users.r1, 'r2'), NOT_AUTHORIZED);
    assert.equal(
      await connectAs('robot-r1', { ...users.r1, password: 'wrong' }, 'r1'),
      BAD_CREDENTIALS,
    );
    assert.equal(typeof (await connectAs('robot-r1', users.r1, 'r1')), 'object');
    const log = broker.child.stderr + broker.child.stdout;
    assert.match(log, /kept for another robot.*client id refused/);
    assert.match(log, /login refused: it may not have this will/);
    assert.match(log, /"reason":"no user has this secret"[^\n]*login refused/);
    assert.doesNotMatch(log, /wrong"/, 'never the secret itself');
  });

  it('of a relay is kept also when its first connection ends with its CONNACK', async (t) => {
    const { broker, users } = await makeSite(t);
    for (const clientId of ['north', 'south', 'east', 'west']) {
      const relay = mqtt.connect(broker.url, { reconnectPeriod: 0, clientId, ...users.site });
      await new Promise<void>((resolve) => relay.once('connect', () => resolve()));
      relay.stream.destroy();
      assert.equal(await connect(t, broker.url, { clientId, ...users.r1 }), 2, clientId);
    }
  });
});
