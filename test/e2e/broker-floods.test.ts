/** Floods of half connections and of messages, and web pages, at the doors of a real broker. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { connectAsync } from 'mqtt';
import WebSocket from 'ws';
import { LIMITS } from '../../shared/base/limits.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';

const HALF_REQUEST = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ';

/** Another address than that of the clients that are served meanwhile. */
const STRANGER = '127.0.0.2';

interface Flood {
  /** Sockets that the broker has not ended. */
  readonly open: number;
}

/** Sockets that say a part of a request and then nothing. */
function flood(t: TestContext, port: number, count: number): Flood {
  const sockets = new Set<Socket>();
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  for (let n = 0; n < count; n += 1) {
    const to = { port, host: '127.0.0.1', localAddress: STRANGER };
    const socket = connect(to, () => socket.write(HALF_REQUEST));
    sockets.add(socket);
    socket.resume(); // or its end is never read
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  }
  return {
    get open() {
      return sockets.size;
    },
  };
}

const descriptorsOf = ({ child }: BrokerChild): number =>
  readdirSync(`/proc/${child.pid}/fd`).length;
const portOf = (url: string): number => Number(new URL(url).port);

const SOON = { connectTimeout: 10_000 };

async function assertServes(broker: BrokerChild): Promise<void> {
  const client = await connectAsync(broker.url, {
    clientId: 'robot-r1',
    reconnectPeriod: 0,
    ...SOON,
  });
  await client.subscribeAsync('fleet/updates', { qos: 1 });
  await client.endAsync();
  assert.equal((await fetch(`${broker.httpUrl}/healthz`)).status, 200);
}

describe('half a request on each of thousands of sockets', () => {
  for (const door of ['ws', 'http'] as const) {
    it(`at ${door}: bounded, ended in time, and others are served`, async (t) => {
      const broker = await startBrokerChild(t);
      const port = portOf(door === 'ws' ? broker.wsUrl : broker.httpUrl);
      const before = descriptorsOf(broker);
      const most = door === 'ws' ? 1_250 : LIMITS.httpConnectionsMax / 2;
      const half = flood(t, port, most + 800);
      await waitUntil('what is above the share to be refused', () => half.open <= most);
      assert.ok(descriptorsOf(broker) - before <= most + 10, `${descriptorsOf(broker)} open`);
      await assertServes(broker);
      await waitUntil('all of them to be ended', () => half.open === 0, { timeoutMs: 60_000 });
      await assertServes(broker);
      const lines = broker.child.stderr.split('\n').filter((line) => /refused/.test(line));
      assert.equal(lines.length, 1, 'one line about all of them');
    });
  }
});

describe('a robot that sends without end', () => {
  it('waits, is logged once, and keeps the broker from nobody', async (t) => {
    const users = join(await tempFolder(t), 'users.json');
    const thief = await addUser(users, 'r1', 'robot');
    const other = await addUser(users, 'r2', 'robot');
    const broker = await startBrokerChild(t, { args: ['--credentials', users] });
    const as = async ({ username, password }: Login) =>
      await connectAsync(broker.url, { username, password, clientId: username, ...SOON });
    const flooding = await as(thief);
    t.after(() => flooding.end(true));
    const junk = JSON.stringify({ junk: 'x'.repeat(2_000) });
    for (let n = 0; n < 10_000; n += 1) flooding.publish('fleet/robots/r1/want', junk);
    await waitUntil('it to be slowed down', () => /they wait/.test(broker.child.stderr));
    assert.ok(flooding.stream.writableLength > 0, 'the broker does not read all of it');
    const served = await as(other);
    await served.publishAsync('fleet/robots/r2/online', '{"online":true}', { qos: 1 });
    await served.endAsync();
    assert.equal((await fetch(`${broker.httpUrl}/healthz`)).status, 200);
    const lines = broker.child.stderr.split('\n');
    assert.equal(lines.filter((line) => /report not understood/.test(line)).length, 1);
  });
});

describe('a web page', () => {
  const opens = async (url: string, origin?: string): Promise<string> => {
    const socket = new WebSocket(url, 'mqtt', origin === undefined ? {} : { origin });
    return await new Promise<string>((resolve, reject) => {
      socket.once('open', () => resolve('open'));
      socket.once('unexpected-response', (_request, response) => {
        text(response).then((body) => resolve(`${response.statusCode} ${body}`), reject);
      });
      socket.once('error', (error) => resolve(error.message));
    }).finally(() => socket.terminate());
  };

  it('may not connect over WebSocket unless --ws-origin lists it; programs may', async (t) => {
    const broker = await startBrokerChild(t, { args: ['--ws-origin', 'https://tools.example'] });
    assert.match(await opens(broker.wsUrl, 'https://evil.example'), /^403 .*--ws-origin/);
    assert.match(await opens(broker.wsUrl, 'null'), /^403/);
    assert.equal(await opens(broker.wsUrl, 'https://tools.example'), 'open');
    assert.equal(await opens(broker.wsUrl), 'open');
  });
});
