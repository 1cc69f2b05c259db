/** A site with its own authority: real certificates by openssl, the real broker, real robots. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import mqtt from 'mqtt';
import { startDrover, type Child } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { addUser } from './credentials.ts';
import { Site } from './site.ts';

const SCRIPT = repositoryFile('examples/tls/make-certs.sh');

class SecureSite {
  readonly site: Site;
  readonly child: Child;
  readonly ports: { mqtt: number | null; mqtts: number; ws: number; http: number };

  private constructor(site: Site, child: Child, ports: SecureSite['ports']) {
    this.site = site;
    this.child = child;
    this.ports = ports;
  }

  static async open(t: TestContext, ...more: string[]): Promise<SecureSite> {
    const site = await Site.open(t);
    make(site, 'ca');
    make(site, 'server', 'localhost', '127.0.0.1');
    const files = ['--tls-cert', 'server.crt', '--tls-key', 'server.key', '--client-ca', 'ca.crt'];
    const places = files.map((one) => (one.startsWith('--') ? one : site.path('certs', one)));
    const doors = ['--mqtts', '0', '--ws', '0', '--http', '0', '--json'];
    const args = ['--data', site.path('data'), ...doors, ...places, ...more];
    const child = startDrover(t, 'broker', args);
    const [line] = await child.waitForOutput(/^\{"mqtt":.*\}$/m);
    return new SecureSite(site, child, JSON.parse(line) as SecureSite['ports']);
  }

  get url(): string {
    return `mqtts://127.0.0.1:${this.ports.mqtts}`;
  }

  cert(...parts: string[]): string {
    return this.site.path('certs', ...parts);
  }

  robotArgs(id: string): string[] {
    const own = [
      '--cert',
      this.cert('robots', `${id}.crt`),
      '--key',
      this.cert('robots', `${id}.key`),
    ];
    return ['--ca', this.cert('ca.crt'), ...own];
  }
}

function make(site: Site, what: string, ...names: string[]): void {
  execFileSync(SCRIPT, [what, site.path('certs'), ...names], { stdio: 'pipe' });
}

/** Connects, and returns the code of CONNACK or the failure. */
async function knock(url: string, options: mqtt.IClientOptions): Promise<string> {
  const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 5_000, ...options });
  return await new Promise((resolve) => {
    client.once('connect', () => {
      client.end(true);
      resolve('welcome');
    });
    client.once('error', (error: Error & { code?: unknown }) => resolve(String(error.code)));
    client.once('close', () => resolve('closed'));
  });
}

async function serialSeenAt(port: number): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  try {
    await new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    return socket.getPeerCertificate().serialNumber;
  } finally {
    socket.destroy();
  }
}

describe('a site with certificates', () => {
  it('updates a robot that shows one, and serves API and WebSocket over TLS', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const secure = await SecureSite.open(t);
    const { site, ports } = secure;
    assert.equal(ports.mqtt, null, 'no plain door beside it');
    make(site, 'robot', 'r1');
    make(site, 'robot', 'release-desk');
    const robot = site.robot('r1', secure.url, secure.robotArgs('r1'));
    await robot.until('is there', ({ phase }) => phase === 'idle');
    const ca = await readFile(secure.cert('ca.crt'));
    const status = await new Promise((resolve, reject) => {
      const get = request(`https://127.0.0.1:${ports.http}/healthz`, { ca }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      get.once('error', reject).end();
    });
    assert.equal(status, 200);
    const [cert, key] = await Promise.all([
      readFile(secure.cert('robots/r1.crt')),
      readFile(secure.cert('robots/r1.key')),
    ]);
    assert.equal(await knock(`wss://127.0.0.1:${ports.ws}`, { ca, cert, key }), 'welcome');
  });

  it('refuses a client without a name, with the wrong name, or from another authority', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const secure = await SecureSite.open(t);
    const { site } = secure;
    make(site, 'robot', 'r1');
    const ca = await readFile(secure.cert('ca.crt'));
    const read = (name: string): Promise<Buffer> => readFile(secure.cert('robots', name));
    const [cert, key] = [await read('r1.crt'), await read('r1.key')];
    assert.equal(await knock(secure.url, { ca, cert, key }), 'welcome');
    assert.equal(await knock(secure.url, { ca }), '4', 'nameless, and there are no credentials');
    const server = {
      cert: await readFile(secure.cert('server.crt')),
      key: await readFile(secure.cert('server.key')),
    };
    assert.notEqual(await knock(secure.url, { ca, ...server }), 'welcome', 'not made for clients');
    execFileSync(SCRIPT, ['ca', site.path('others')]);
    execFileSync(SCRIPT, ['robot', site.path('others'), 'r1']);
    const stranger = {
      cert: await readFile(site.path('others/robots/r1.crt')),
      key: await readFile(site.path('others/robots/r1.key')),
    };
    assert.notEqual(await knock(secure.url, { ca, ...stranger }), 'welcome');
    assert.match(secure.child.stderr, /TLS_CLIENT_REFUSED/);
    // A will of another robot is refused at the door, whatever the certificate.
    const will = { topic: 'fleet/robots/r2/online', payload: '{}', qos: 1, retain: true } as const;
    assert.equal(await knock(secure.url, { ca, cert, key, will }), '5');
  });

  it('takes credentials of people beside the certificates of robots', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const site = await Site.open(t);
    const users = site.path('users.json');
    const passwd = ['passwd', '--file', users, '--user', 'desk', '--role', 'publisher', '--json'];
    const made = startDrover(t, 'broker', passwd);
    await made.exit;
    const { token } = JSON.parse(made.stdout) as { token: string };
    const secure = await SecureSite.open(t, '--credentials', users);
    make(secure.site, 'robot', 'r1');
    const robot = secure.site.robot('r1', secure.url, secure.robotArgs('r1'));
    const bundle = await secure.site.bundle('1.0.0');
    const login = ['--username', 'desk', '--ca', secure.cert('ca.crt')];
    const args = secure.site.publishArgs(secure.url, bundle, ...login);
    const child = await secure.site.tryDrover({ DROVER_PASSWORD: token }, ...args);
    assert.equal(child.ended?.code, 0, child.describe());
    await robot.runs('1.0.0');
    const api = ['--api', `https://127.0.0.1:${secure.ports.http}`, '--json'];
    const env = { DROVER_TOKEN: token };
    const ca = ['--ca', secure.cert('ca.crt')];
    const list = await secure.site.tryDrover(env, 'rollout', 'list', ...api, ...ca);
    const without = await secure.site.tryDrover(env, 'rollout', 'list', ...api);
    assert.equal(without.ended?.code, 4, without.describe());
    assert.equal(list.ended?.code, 0, list.describe());
    assert.match(list.stdout, /"version": ?"1\.0\.0"/);
  });

  it('keeps a robot with a certificate when credentials change, and disconnects a person who lost theirs', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const file = join(await tempFolder(t), 'users.json');
    const desk = await addUser(file, 'desk', 'technician');
    const secure = await SecureSite.open(t, '--credentials', file);
    make(secure.site, 'robot', 'r1');
    const ca = await readFile(secure.cert('ca.crt'));
    const cert = await readFile(secure.cert('robots', 'r1.crt'));
    const key = await readFile(secure.cert('robots', 'r1.key'));
    const meet = async (options: mqtt.IClientOptions): Promise<mqtt.MqttClient> => {
      const client = await mqtt.connectAsync(secure.url, { ca, reconnectPeriod: 0, ...options });
      t.after(() => client.endAsync(true));
      return client;
    };
    const robot = await meet({ clientId: 'robot-r1', cert, key });
    const person = await meet({ clientId: 'desk', ...desk });
    await writeFile(file, '{"users": []}');
    secure.child.kill('SIGHUP');
    await waitUntil('the person to be cut off', () => !person.connected);
    await robot.publishAsync('fleet/robots/r1/online', '{}', { qos: 1 });
    const again = await meet({ clientId: 'robot-r1', cert, key });
    await again.publishAsync('fleet/robots/r1/online', '{}', { qos: 1 });
  });

  it('takes up a renewed certificate without dropping a robot, and ignores half of one', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const secure = await SecureSite.open(t);
    const { site, ports } = secure;
    make(site, 'robot', 'r1');
    const ca = await readFile(secure.cert('ca.crt'));
    const [cert, key] = await Promise.all([
      readFile(secure.cert('robots/r1.crt')),
      readFile(secure.cert('robots/r1.key')),
    ]);
    const client = await mqtt.connectAsync(secure.url, { ca, cert, key, reconnectPeriod: 0 });
    t.after(() => client.endAsync(true));
    let drops = 0;
    client.on('close', () => (drops += 1));
    const serialOf = async (): Promise<string> =>
      new X509Certificate(await readFile(secure.cert('server.crt'))).serialNumber;
    const old = await serialOf();
    assert.equal(await serialSeenAt(ports.mqtts), old);

    await copyFile(secure.cert('robots/r1.key'), secure.cert('server.key'));
    await secure.child.waitForOutput(/renewed certificate not taken/, 20_000);
    assert.equal(await serialSeenAt(ports.mqtts), old, 'a key that does not fit changes nothing');

    make(site, 'server', 'localhost', '127.0.0.1');
    const renewed = await serialOf();
    assert.notEqual(renewed, old);
    for (const port of [ports.mqtts, ports.ws, ports.http]) {
      await waitUntil('the new certificate', async () => (await serialSeenAt(port)) === renewed, {
        timeoutMs: 20_000,
      });
    }
    assert.equal(drops, 0);
    await client.subscribeAsync('fleet/updates');
  });
});

describe('a broker with certificates that do not fit', () => {
  it('says so and does not start', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const site = await Site.open(t);
    make(site, 'ca');
    make(site, 'server', 'localhost');
    const args = ['--data', site.path('data'), '--mqtts', '0', '--http', '0'];
    const cert = ['--tls-cert', site.path('certs/server.crt')];
    const cases: [string[], string][] = [
      [[...cert, '--tls-key', site.path('certs/ca.key')], 'TLS_INVALID'],
      [[...cert, '--tls-key', site.path('certs/none.key')], 'TLS_INVALID'],
      [[], 'USAGE'],
      [cert, 'USAGE'],
    ];
    for (const [more, code] of cases) {
      const child = startDrover(t, 'broker', [...args, ...more]);
      const { code: exit } = await child.exit;
      assert.equal(exit, 2, child.describe());
      assert.match(child.stderr, new RegExp(`\\(${code}\\)`), join(...more));
    }
  });
});
