/** Robots of a new fleet get credentials of their own: the real broker over TLS, real agents. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import mqtt from 'mqtt';
import { readDoor } from '../../robot-client/enrolment/ask-broker.ts';
import { enrolRobot } from '../../robot-client/enrolment/enrol.ts';
import { startDrover, type Child } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { addUser } from './credentials.ts';
import { Site } from './site.ts';

const ROBOTS = 500;
const AGENTS = 3;
const AT_ONCE = 25;

interface Ports {
  readonly mqtts: number;
  readonly http: number;
}

class NewFleet {
  readonly #t: TestContext;
  readonly site: Site;
  readonly ca: string;
  #broker: { child: Child; ports: Ports } | null = null;

  private constructor(t: TestContext, site: Site) {
    this.#t = t;
    this.site = site;
    this.ca = site.path('certs/ca.crt');
  }

  static async open(t: TestContext): Promise<NewFleet> {
    const fleet = new NewFleet(t, await Site.open(t));
    const make = (...args: string[]): void => {
      const [what = '', ...names] = args;
      const script = repositoryFile('examples/tls/make-certs.sh');
      execFileSync(script, [what, fleet.site.path('certs'), ...names], { stdio: 'pipe' });
    };
    make('ca');
    make('server', '127.0.0.1');
    return fleet;
  }

  async start(data: string): Promise<void> {
    const path = (name: string): string => this.site.path(name);
    const child = startDrover(this.#t, 'broker', [
      ...['--data', path(data), '--mqtts', '0', '--http', '0', '--json'],
      ...['--tls-cert', path('certs/server.crt'), '--tls-key', path('certs/server.key')],
      ...['--credentials', path('users.json'), '--trust', this.site.path('trust.json')],
    ]);
    const [line] = await child.waitForOutput(/^\{"mqtt":.*\}$/m);
    this.#broker = { child, ports: JSON.parse(line) as Ports };
  }

  async kill(): Promise<void> {
    this.#broker?.child.kill('SIGKILL');
    await this.#broker?.child.exit;
  }

  get ports(): Ports {
    assert.ok(this.#broker);
    return this.#broker.ports;
  }

  /** @returns its JSON, and its exit code */
  async tool(program: 'broker' | 'publisher', ...args: string[]) {
    const env = { NODE_EXTRA_CA_CERTS: this.ca };
    const child = startDrover(this.#t, program, [...args, '--json'], { env });
    const { code } = await child.exit;
    return { code, said: JSON.parse(child.stdout.split('\n')[0] ?? '') as Record<string, unknown> };
  }

  /** The code of the refusal, or the robot. */
  async enrol(claim: string, folder: string): Promise<string> {
    const door = readDoor(`https://127.0.0.1:${this.ports.http}`, this.ca);
    const out = this.site.path(join('robots', folder, 'credentials'));
    const work = enrolRobot({ door, claim, out, waitMs: 0, onKey: () => undefined });
    return await work.then(
      ({ robot }) => robot,
      (error: { code?: string; message?: string }) => error.code ?? error.message ?? 'failed',
    );
  }

  async credential(folder: string): Promise<Record<string, string>> {
    const text = await readFile(this.site.path(join('robots', folder, 'credentials')), 'utf8');
    return Object.fromEntries(
      [...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
    );
  }

  /** The code of CONNACK with the credential in this folder. */
  async knock(folder: string): Promise<string> {
    const { DROVER_USERNAME: username = '', DROVER_PASSWORD: password = '' } =
      await this.credential(folder);
    const client = mqtt.connect(`mqtts://127.0.0.1:${this.ports.mqtts}`, {
      ...{ username, password, clientId: `robot-${username}`, ca: await readFile(this.ca) },
      reconnectPeriod: 0,
    });
    return await new Promise((resolve) => {
      client.once('connect', () => client.end(true, () => resolve('welcome')));
      client.once('error', (error: Error & { code?: unknown }) => resolve(String(error.code)));
    });
  }
}

const claimsIn = async (file: string): Promise<[robot: string, claim: string][]> =>
  (await readFile(file, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ') as [string, string]);

describe('the robots of a new fleet', () => {
  it('enrol by one command for all, once each, and are themselves from then on', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const fleet = await NewFleet.open(t);
    const { site } = fleet;
    await addUser(site.path('users.json'), 'desk', 'publisher');
    await fleet.start('data');
    const data = ['--data', site.path('data')];
    const many = ['--count', String(ROBOTS), '--prefix', 'amr-', '--out', site.path('claims.txt')];
    assert.equal((await fleet.tool('broker', 'enrol', ...data, ...many)).code, 0);
    const claims = await claimsIn(site.path('claims.txt'));
    assert.equal(claims.length, ROBOTS);
    const waiting = [...claims];
    const enrolAll = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const [robot, claim] = next;
        assert.equal(await fleet.enrol(claim, robot), robot);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, enrolAll));
    const agents = claims.slice(0, AGENTS).map(async ([id]) => {
      const child = startDrover(
        t,
        'robot-client',
        [
          ...['--broker', `mqtts://127.0.0.1:${fleet.ports.mqtts}`, '--ca', fleet.ca],
          ...['--root', site.path(id), '--trust', site.path('trust.json')],
          ...['--hooks', site.path('none')],
        ],
        { env: await fleet.credential(id) },
      );
      await child.waitForOutput(/link to the broker is up/);
    });
    await Promise.all(agents);
    const [robot, claim] = claims[0] ?? ['', ''];
    assert.equal(await fleet.enrol(claim, 'thief'), 'CLAIM_USED');
    // A restart in the middle: what was answered holds, and what was used stays used.
    await fleet.kill();
    await fleet.start('data');
    assert.equal(await fleet.knock(claims[ROBOTS - 1]?.[0] ?? ''), 'welcome');
    assert.equal(await fleet.enrol(claim, 'thief'), 'CLAIM_USED');
    assert.equal((await fleet.tool('broker', 'enrol', 'revoke', robot, ...data)).code, 0);
    await waitUntil('the revoked one is refused', async () => (await fleet.knock(robot)) === '4');
    const again = await fleet.tool('broker', 'enrol', ...data, ...many.slice(0, 4));
    assert.equal((again.said['error'] as { code: string }).code, 'CLAIM_EXISTS');
  });

  it('wait for the yes of a person, and a restore makes no used claim good again', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const fleet = await NewFleet.open(t);
    const { site } = fleet;
    const desk = await addUser(site.path('users.json'), 'desk', 'publisher');
    const data = ['--data', site.path('data')];
    const out = ['--out', site.path('claims.txt')];
    const names = ['--robot', 'amr-0001', '--robot', 'amr-0002', '--approve'];
    assert.equal((await fleet.tool('broker', 'enrol', ...data, ...names, ...out)).code, 0);
    await fleet.start('data');
    const [[one, first] = ['', ''], [two, second] = ['', '']] = await claimsIn(out[1] ?? '');
    assert.equal(await fleet.enrol(first, one), 'ENROLMENT_PENDING');
    const backup = site.path('backup.tar');
    assert.equal((await fleet.tool('broker', 'backup', ...data, '--out', backup)).code, 0);
    const token = site.path('token');
    await writeFile(token, desk.password);
    const api = ['--api', `https://127.0.0.1:${fleet.ports.http}`, '--token-file', token];
    const { said } = await fleet.tool('publisher', 'fleet', 'enrolments', ...api);
    const views = said['enrolments'] as { robot_id: string; claim: string; asked_from: string }[];
    assert.deepEqual(
      views.map((view) => [view.robot_id, view.claim, view.asked_from]),
      [
        [one, 'pending', '127.0.0.1'],
        [two, 'open', null],
      ],
    );
    assert.equal((await fleet.tool('publisher', 'fleet', 'accept', one, ...api)).code, 0);
    assert.equal(await fleet.enrol(first, one), one);
    assert.equal(await fleet.knock(one), 'welcome');
    const retire = ['fleet', 'retire', two, ...api];
    const unknown = await fleet.tool('publisher', ...retire);
    const { hint } = unknown.said['error'] as { hint: string };
    assert.deepEqual([unknown.code, /drover fleet revoke amr-0002/.test(hint)], [3, true]);
    const later = site.path('later.tar');
    assert.equal((await fleet.tool('broker', 'backup', ...data, '--out', later)).code, 0);
    const again = await fleet.tool('broker', 'restore', later, '--data', site.path('again'));
    assert.deepEqual([again.said['claims_revoked'], again.said['enrolled']], [1, 1]);
    const gone = await fleet.tool('publisher', ...retire.with(2, one), '--revoke');
    assert.deepEqual([gone.code, gone.said['revoked']], [0, true], 'also one that never reported');
    assert.equal(await fleet.knock(one), '4');
    await fleet.kill();
    const restore = ['restore', backup, '--data', site.path('restored')];
    const restored = await fleet.tool('broker', ...restore);
    assert.deepEqual([restored.said['claims_revoked'], restored.said['enrolled']], [2, 0]);
    await fleet.start('restored');
    assert.equal(await fleet.enrol(first, 'thief'), 'CLAIM_REVOKED');
    assert.equal(await fleet.enrol(second, two), 'CLAIM_REVOKED');
    const more = ['--robot', two, '--replace', '--out', site.path('new.txt')];
    const renewed = await fleet.tool('broker', 'enrol', '--data', site.path('restored'), ...more);
    assert.equal(renewed.code, 0);
    const [[, third] = ['', '']] = await claimsIn(site.path('new.txt'));
    assert.equal(await fleet.enrol(third, two), two, 'with the key that it had made before');
  });
});
