/**
 * Doors that are sockets: the broker's MQTT and HTTP, and the robot's ends of MQTT and of its local
 * API, each as the product itself opens it. A connection gets the whole input at once, and whatever
 * it does, an error that the product logs as its own is a finding, and others are still served.
 */

import { connect as connectMqtt, type MqttClient } from 'mqtt';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import { startBroker, type RunningBroker } from '../../../broker/compose.ts';
import { startLocalApi } from '../../../robot-client/local/api.ts';
import { callLocalApi } from '../../../robot-client/local/client.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { openMqttWire } from '../../../shared/io/mqtt-wire.ts';
import { encodeEvent } from '../../broker/reports.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import type { Scope } from '../../helpers/scope.ts';
import { BrokenPromise, type Door } from '../door.ts';
import { folderInMemory } from '../memory-folder.ts';

const HOST = '127.0.0.1';
/** A connection that stays open has said all that it will by then. */
const QUIET_MS = 15;
const ANSWER_MS = 10_000;

/** Keeps the first thing that the product called its own error. */
class ErrorLog implements Log {
  #first: string | null = null;

  debug(): void {}
  info(): void {}
  warn(): void {}

  error(facts: object, message: string): void {
    const { err } = facts as { err?: Error };
    this.#first ??= `${message}: ${err?.stack ?? JSON.stringify(facts)}`;
  }

  assertNone(): void {
    if (this.#first !== null) throw new BrokenPromise(`the product logged ${this.#first}`);
  }
}

/** Writes it all, reads the answers, and leaves when the other side closes or stays quiet. */
async function say(to: NetConnectOpts, input: Uint8Array): Promise<void> {
  const socket = connect(to);
  socket.on('error', () => {}); // refused or reset: 'close' follows
  const closed = once(socket, 'close');
  socket.once('connect', () => socket.end(input));
  let quiet = setTimeout(() => socket.destroy(), ANSWER_MS);
  socket.on('data', () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => socket.destroy(), QUIET_MS);
  });
  await closed;
  clearTimeout(quiet);
}

async function openBroker(scope: Scope, log: Log): Promise<RunningBroker> {
  const { trust } = makeFleet();
  const broker = await startBroker({
    ...{
      dataFolder: await folderInMemory(scope),
      host: HOST,
      httpPort: 0,
      publicMqtt: null,
      log,
      trust,
    },
    ...{
      certificateFiles: null,
      credentialsFile: null,
      authorityFiles: null,
      logPolicy: null,
      storeBytesMax: 64 * 2 ** 20,
    },
    ...{ keepUnannouncedMs: null, lead: null, webhooks: [] },
    engine: {
      kind: 'embedded',
      doors: { mqttPort: 0, mqttsPort: null, wsPort: 0 },
      ...{ connectionsMax: 100, wsOrigins: [], bytesPerSecondMax: null, upstream: null },
    },
  });
  scope.after(() => broker.close());
  return broker;
}

/** Stands beside the stranger: its messages are acknowledged all the time. */
async function joinAsRobot(scope: Scope, url: string): Promise<() => Promise<void>> {
  const robot: MqttClient = connectMqtt(url, { clientId: 'robot-witness', reconnectPeriod: 50 });
  scope.after(() => void robot.end(true));
  await new Promise((resolve) => robot.once('connect', resolve));
  let seq = 0;
  return async () => {
    seq += 1;
    const event = Buffer.from(encodeEvent('witness', seq));
    const sent = robot.publishAsync('fleet/robots/witness/events', event, { qos: 1 });
    await within(sent, 'a robot beside it is not served any more');
  };
}

async function within(work: Promise<unknown>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new BrokenPromise(what)), ANSWER_MS);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const bytesOf = (...packets: readonly Packet[]): Uint8Array =>
  new Uint8Array(Buffer.concat(packets.map((packet) => mqttPacket.generate(packet))));

const hello = (clientId: string, more: object = {}): Packet => ({
  ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId, clean: true },
  ...{ keepalive: 30, ...more },
});

export async function brokerMqttDoor(scope: Scope): Promise<Door> {
  const log = new ErrorLog();
  const { mqttPort } = await openBroker(scope, log);
  const isServed = await joinAsRobot(scope, `mqtt://${HOST}:${mqttPort}`);
  const fleet = makeFleet();
  const publish = (topic: string, payload: Uint8Array, qos: 0 | 1 = 1): Packet => ({
    ...{ cmd: 'publish', topic, payload: Buffer.from(payload), qos, messageId: 7 },
    ...{ retain: qos === 1, dup: false },
  });
  const subscribe = (topic: string): Packet => ({
    ...{ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic, qos: 1 }] },
  });
  const will = {
    topic: 'fleet/robots/r2/online',
    payload: Buffer.from('{}'),
    qos: 0,
    retain: true,
  };
  return {
    seeds: [
      bytesOf(hello('robot-r1'), publish('fleet/robots/r1/events', encodeEvent('r1', 1))),
      bytesOf(hello('a'), subscribe('fleet/#'), { cmd: 'pingreq' }, { cmd: 'disconnect' }),
      bytesOf(hello('b', { clean: false }), subscribe(`fleet-chunks/${'0a'.repeat(32)}`)),
      bytesOf(hello('c', { will, username: 'u', password: Buffer.from('p') })),
      bytesOf(hello('d'), publish('fleet/updates', fleet.announce(3, [])), { cmd: 'pingreq' }),
      bytesOf(hello('e'), { cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['a/+'] }),
      bytesOf(hello('f'), { cmd: 'puback', messageId: 4 }, { cmd: 'pubrel', messageId: 5 }),
    ],
    words: ['MQTT', '\u0000\u0004MQTT', '$share/g/t', '$SYS/#', 'fleet/controller', '+/+/#'],
    refusals: /^$/,
    batch: 16,
    open: (input) => say({ host: HOST, port: mqttPort as number }, input),
    check: async () => {
      log.assertNone();
      await isServed();
    },
  };
}

export async function httpDoor(scope: Scope): Promise<Door> {
  const log = new ErrorLog();
  const { httpPort } = await openBroker(scope, log);
  const paths = ['/', '/robots', '/rollouts', '/rollouts/r-1/history', '/metrics', '/healthz'];
  const ask = (method: string, path: string, body = ''): Uint8Array =>
    utf8(
      `${method} ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  return {
    seeds: [
      ...paths.map((path) => ask('GET', path)),
      ask('GET', '/robots?limit=5&after=r1'),
      ask('POST', '/rollouts/r-1/approve', '{"wave":1,"reason":"x"}'),
      ask('DELETE', '/robots/r1'),
      utf8(
        'POST /rollouts/a/pause HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
      ),
    ],
    words: [
      'HTTP/1.1',
      'expect: 100-continue\r\n',
      'transfer-encoding: chunked\r\n',
      '%2e%2e%2f',
      '%',
    ],
    refusals: /^$/,
    batch: 16,
    open: (input) => say({ host: HOST, port: httpPort }, input),
    check: async () => {
      log.assertNone();
      await within(
        fetch(`http://${HOST}:${httpPort}/healthz`),
        '/healthz does not answer any more',
      );
    },
  };
}

export async function localDoor(scope: Scope): Promise<Door> {
  const log = new ErrorLog();
  const socketPath = join(await folderInMemory(scope), 'agent.sock');
  const told = { ok: true };
  const answer = () => told;
  const asks = {
    telemetry: answer,
    ready: answer,
    confirm: answer,
    retry: answer,
    unblock: answer,
    gone: answer,
  };
  const handlers = { status: answer, explain: answer, ...asks };
  const api = await startLocalApi({ socketPath, handlers, log });
  scope.after(() => api.close());
  const ask = (path: string, body: string): Uint8Array =>
    utf8(
      `POST ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  return {
    seeds: [
      ask('/telemetry', '{"component":"app","tasks_ok":3,"tasks_failed":1}'),
      ask('/ready', '{"component":"app","ready":false,"reason":"it holds a cup"}'),
      ...['/confirm', '/retry', '/unblock'].map((path) => ask(path, '{"component":"app"}')),
      ask('/gone', '{"computers":["arm"],"for_good":true}'),
      utf8('GET /status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'),
    ],
    words: ['"component":', '"ready":', 'content-length: 99999999\r\n', '{"', '\r\n\r\n'],
    refusals: /^$/,
    batch: 16,
    open: (input) => say({ path: socketPath }, input),
    check: async () => {
      log.assertNone();
      await within(callLocalApi(socketPath, 'GET', '/status'), '/status does not answer any more');
    },
  };
}

/** A robot whose broker was taken over: it may end the link, and nothing else of the robot. */
export async function robotMqttDoor(scope: Scope): Promise<Door> {
  const log = new ErrorLog();
  let input: Uint8Array = new Uint8Array();
  const server = createServer((socket) => {
    socket.on('error', () => {}); // the robot ended it
    socket.once('data', () => {
      socket.write(bytesOf({ cmd: 'connack', returnCode: 0, sessionPresent: false }));
      socket.write(input);
    });
    setTimeout(() => socket.end(), QUIET_MS);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  scope.after(() => void server.close());
  const url = `mqtt://${HOST}:${(server.address() as AddressInfo).port}`;
  const fleet = makeFleet();
  const packets: readonly Packet[] = [
    ...['fleet/updates', 'fleet/rollouts/r-1', `fleet-chunks/${'0a'.repeat(32)}`].map(
      (topic): Packet => ({
        ...{ cmd: 'publish', topic, payload: Buffer.from(fleet.announce(3, [])), qos: 1 },
        ...{ messageId: 7, retain: true, dup: false },
      }),
    ),
    { cmd: 'suback', messageId: 1, granted: [1, 128] },
    { cmd: 'puback', messageId: 1 },
    { cmd: 'pingresp' },
  ];
  return {
    seeds: packets.map((packet) => bytesOf(packet)),
    words: ['fleet/updates', '\u00ff\u00ff\u00ff\u007f', '\u0090\u0003', '\u0040\u0002'],
    refusals: /^$/,
    batch: 8,
    open: async (bytes) => {
      input = bytes;
      await new Promise<void>((resolve) => {
        const options = { url, clientId: 'robot-r1' };
        const onDown = (): void => {
          wire.close().then(resolve, resolve);
        };
        const wire = openMqttWire(options, { onMessage: () => {}, onDown }, log);
        wire.subscribe(['fleet/updates'], 1).catch(() => {}); // not up yet, or the link ended
      });
    },
    check: async () => log.assertNone(),
  };
}
