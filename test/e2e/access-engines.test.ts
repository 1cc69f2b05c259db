/**
 * The same rights on every engine, tried with real connections: our broker with a credentials file,
 * mosquitto and NATS with what `drover-broker acl` prints for that file.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { engineProfile } from '../../broker/mqtt/engine-profile.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { startDrover } from '../helpers/child.ts';
import { startMosquitto, productConfig } from '../helpers/mosquitto.ts';
import { startNats } from '../helpers/nats.ts';
import { findPeer } from '../helpers/peer.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';

const ROLES = {
  pub: 'publisher',
  eye: 'technician',
  site: 'relay',
  r1: 'robot',
  r2: 'robot',
} as const;
type Name = keyof typeof ROLES;
const NAMES = Object.keys(ROLES) as Name[];

const CHUNK = Buffer.from('a chunk');
const ONLINE = encodeMessage({ online: true });
const RETAINED = { retain: true, qos: 1 } as const;

/** Topic, names that may write it, names that may read it, a valid message. */
const TABLE: readonly (readonly [string, readonly Name[], readonly Name[], Uint8Array])[] = [
  [chunkTopic(sha256Hex(CHUNK)), ['pub'], NAMES, CHUNK],
  ['fleet/robots/r1/online', ['site', 'r1'], ['pub', 'eye', 'r1'], ONLINE],
  ['fleet/robots/r2/online', ['site', 'r2'], ['pub', 'eye', 'r2'], ONLINE],
  ['fleet/relays/site/online', ['pub', 'site'], ['pub', 'eye'], ONLINE],
];

interface Engine {
  readonly url: string;
  /** A robot may not even ask; otherwise it asks and gets nothing. */
  readonly refusesFilters: boolean;
  /** A forbidden publish is not acknowledged. */
  readonly tells: boolean;
}
type StartEngine = (t: TestContext, file: string, logins: Logins) => Promise<Engine | null>;
type Logins = ReadonlyMap<Name, Login>;

/** The rules as the program prints them. */
async function rules(t: TestContext, engine: string, file: string): Promise<string> {
  const child = startDrover(t, 'broker', ['acl', '--engine', engine, '--credentials', file]);
  await child.exit;
  assert.equal(child.ended?.code, 0, child.describe());
  return child.stdout;
}

const startAedes: StartEngine = async (t, file) => {
  const { url } = await startBrokerChild(t, { args: ['--credentials', file] });
  return { url, refusesFilters: true, tells: engineProfile('aedes').tellsForbidden };
};

const startStockMosquitto: StartEngine = async (t, file, logins) => {
  const acl = await rules(t, 'mosquitto', file);
  const config = async (port: number, folder: string): Promise<string> => {
    const [aclFile, passwords] = [join(folder, 'drover.acl'), join(folder, 'drover.passwd')];
    await writeFile(aclFile, acl, { mode: 0o600 });
    const lines = [...logins.values()].map((one) => `${one.username}:${one.password}\n`);
    await writeFile(passwords, lines.join(''), { mode: 0o600 });
    const hashed = spawnSync(findPeer('mosquitto_passwd') ?? '', ['-U', passwords]);
    assert.equal(hashed.status, 0, hashed.stderr?.toString());
    return (await productConfig(port))
      .replace(/^allow_anonymous true$/m, 'allow_anonymous false')
      .replace(/^#password_file .*$/m, `password_file ${passwords}`)
      .replace(/^#acl_file .*$/m, `acl_file ${aclFile}`);
  };
  const engine = await startMosquitto(t, { config });
  return (
    engine && {
      url: engine.url,
      refusesFilters: false,
      tells: engineProfile('mosquitto').tellsForbidden,
    }
  );
};

/** bcrypt by the C library, whose cost is low here because the test logs in often. */
function bcrypt(password: string): string {
  const salt = `$2a$05$${randomBytes(11).toString('hex')}`;
  // `--`, since a token in base64url may begin with a dash, which perl takes for an option.
  const made = spawnSync('perl', ['-e', 'print crypt($ARGV[0], $ARGV[1])', '--', password, salt]);
  assert.equal(made.status, 0, made.stderr.toString());
  return made.stdout.toString();
}

const startStockNats: StartEngine = async (t, file, logins) => {
  // Two users that are in every such configuration have a password as well.
  const others = ['drover-publisher', 'drover-broker'].map((username) => ({
    username,
    password: randomBytes(16).toString('hex'),
  }));
  const passwords = [...logins.values(), ...others].map(
    ({ username, password }) => `password_${username}: "${bcrypt(password)}"`,
  );
  const access = await rules(t, 'nats', file);
  const nats = await startNats(t, { more: [...passwords, access] });
  return (
    nats && { url: nats.url, refusesFilters: true, tells: engineProfile('nats').tellsForbidden }
  );
};

class Stage {
  readonly #t: TestContext;
  readonly #logins: Logins;
  readonly engine: Engine;

  constructor(t: TestContext, engine: Engine, logins: Logins) {
    this.#t = t;
    this.engine = engine;
    this.#logins = logins;
  }

  async connect(name: Name): Promise<{ wire: MqttWire; got: string[] }> {
    const got: string[] = [];
    const clientId = `test-${randomBytes(4).toString('hex')}`;
    const options = { url: this.engine.url, clientId, ...this.#logins.get(name) };
    const onMessage = (topic: string): void => void got.push(topic);
    const wire = await connectWire(options, { onMessage }, makeLog('test', 'silent'));
    this.#t.after(() => wire.close());
    return { wire, got };
  }

  /** True when others get the message; r2's later message shows that all have arrived. */
  async canWrite(name: Name, topic: string, payload: Uint8Array): Promise<boolean> {
    const ear = await this.connect('pub');
    const last = 'fleet/robots/r2/want';
    await ear.wire.subscribe([topic], 1);
    await ear.wire.subscribe([last], 1);
    const before = ear.got.length; // what is retained already comes before the SUBACK of the second
    const writer = await this.connect(name);
    const taken = await writer.wire.send(topic, payload, RETAINED).then(
      () => true,
      () => false,
    );
    assert.ok(taken || this.engine.tells, `${name}: ${topic} is acknowledged`);
    if (this.engine.tells) {
      for (const one of [ear, writer]) await one.wire.close();
      return taken;
    }
    const r2 = await this.connect('r2');
    const want = { robot_id: 'r2', at: new Date().toISOString(), chunks: [sha256Hex(CHUNK)] };
    await r2.wire.send(last, encodeMessage(want), { retain: false, qos: 1 });
    await waitUntil('the last word', () => ear.got.includes(last));
    for (const one of [ear, writer, r2]) await one.wire.close();
    return ear.got.slice(before).includes(topic);
  }

  /** True when it gets the retained message; `fleet-chunks`, open to everybody, comes after it. */
  async canRead(name: Name, topic: string, known: string): Promise<boolean> {
    const reader = await this.connect(name);
    const asked = await reader.wire.subscribe([topic], 1).then(
      () => true,
      () => false,
    );
    await reader.wire.subscribe([known], 1);
    await waitUntil('what everybody reads', () => reader.got.includes(known));
    await reader.wire.close();
    const got = reader.got.includes(topic);
    assert.ok(got || !asked || !this.engine.refusesFilters, `${name} may ask for ${topic}`);
    return got;
  }
}

const ENGINES: readonly (readonly [string, StartEngine])[] = [
  ['our broker', startAedes],
  ['mosquitto', startStockMosquitto],
  ['NATS', startStockNats],
];

for (const [engine, start] of ENGINES) {
  it(`gives everybody the rights of the table and no other on ${engine}`, async (t) => {
    const file = join(await tempFolder(t), 'users.json');
    const logins = new Map<Name, Login>();
    for (const name of NAMES) logins.set(name, await addUser(file, name, ROLES[name]));
    const running = await start(t, file, logins);
    if (!running) return;
    const stage = new Stage(t, running, logins);
    const known = TABLE[0]?.[0] ?? '';
    for (const [topic, writers, readers, payload] of TABLE) {
      for (const name of NAMES) {
        const wrote = await stage.canWrite(name, topic, payload);
        assert.equal(wrote, writers.includes(name), `${name} writes ${topic}`);
      }
      for (const name of NAMES) {
        const read = await stage.canRead(name, topic, known);
        assert.equal(read, readers.includes(name), `${name} reads ${topic}`);
      }
    }
  });
}
