/** A site whose robots get certificates by enrolment: a broker with an authority, and agents. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import mqtt from 'mqtt';
import { askToRenew, readDoor } from '../../robot-client/enrolment/ask-broker.ts';
import { readIdentity } from '../../robot-client/enrolment/identity-files.ts';
import { makeKey, makeRequest } from '../../robot-client/enrolment/signing-request.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { renewalText } from '../../shared/formats/http-api.ts';
import { startDrover, type Child } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { addUser } from './credentials.ts';
import { Site } from './site.ts';

const SCRIPT = repositoryFile('examples/tls/make-certs.sh');

export class CertifiedField {
  readonly #t: TestContext;
  readonly site: Site;
  readonly token: string;
  broker: Child | null = null;
  ports = { mqtts: 0, http: 0 };

  private constructor(t: TestContext, site: Site, token: string) {
    this.#t = t;
    this.site = site;
    this.token = token;
  }

  static async open(t: TestContext): Promise<CertifiedField> {
    const site = await Site.open(t);
    for (const what of [['ca'], ['server', '127.0.0.1', 'localhost']]) {
      const [verb = '', ...names] = what;
      execFileSync(SCRIPT, [verb, site.path('certs'), ...names], { stdio: 'pipe' });
    }
    const { password } = await addUser(site.path('users.json'), 'desk', 'publisher');
    const field = new CertifiedField(t, site, password);
    await field.run('broker', 'ca', 'init', '--out', site.path('enrol-ca'));
    return field;
  }

  get ca(): string {
    return this.site.path('certs/ca.crt');
  }

  async start(...more: string[]): Promise<void> {
    const path = (name: string): string => this.site.path(name);
    this.broker = startDrover(this.#t, 'broker', [
      ...['--data', path('data'), '--http', '0', '--json', '--trust', path('trust.json')],
      ...['--tls-cert', path('certs/server.crt'), '--tls-key', path('certs/server.key')],
      ...['--enrol-ca-cert', path('enrol-ca.crt'), '--enrol-ca-key', path('enrol-ca.key')],
      ...['--credentials', path('users.json'), ...more],
    ]);
    const [line] = await this.broker.waitForOutput(/^\{.*"http":.*\}$/m);
    this.ports = JSON.parse(line) as CertifiedField['ports'];
  }

  async run(program: 'broker' | 'robot-client' | 'publisher', ...args: string[]): Promise<Child> {
    const env = { NODE_EXTRA_CA_CERTS: this.ca, DROVER_TOKEN: this.token };
    const child = startDrover(this.#t, program, args, { env });
    await child.exit;
    return child;
  }

  /** A robot that has enrolled by the command, and its agent. */
  async agent(url: string, id = 'amr-0001'): Promise<{ child: Child; identity: string }> {
    const { site } = this;
    const claims = site.path(`${id}.txt`);
    const made = ['enrol', '--data', site.path('data'), '--robot', id, '--out', claims];
    assert.equal((await this.run('broker', ...made)).ended?.code, 0);
    const identity = site.path(`${id}-identity`);
    const door = ['--broker', `https://127.0.0.1:${this.ports.http}`, '--ca', this.ca];
    const files = ['--claim-file', claims, '--identity', identity, '--out', site.path(`${id}.env`)];
    const enrolled = await this.run('robot-client', 'enrol', ...door, ...files);
    assert.equal(enrolled.ended?.code, 0, enrolled.describe());
    const child = startDrover(this.#t, 'robot-client', [
      ...['--broker', url, '--ca', this.ca, '--identity', identity],
      ...['--root', site.path(id), '--trust', site.path('trust.json')],
      ...['--hooks', site.path('none')],
    ]);
    return { child, identity };
  }

  /** Connects with this identity and returns the answer of the broker. */
  async knock(pem: Buffer): Promise<string> {
    const client = mqtt.connect(`mqtts://127.0.0.1:${this.ports.mqtts}`, {
      ...{ ca: await readFile(this.ca), cert: pem, key: pem, clientId: 'robot-amr-0001' },
      reconnectPeriod: 0,
    });
    return await new Promise((resolve) => {
      client.once('connect', () => client.end(true, () => resolve('welcome')));
      client.once('error', (error: Error & { code?: unknown }) => resolve(String(error.code)));
      client.once('close', () => resolve('closed'));
    });
  }

  async askToRenew(folder: string): Promise<string> {
    const { key: old, certificate } = readIdentity(folder);
    const { pem: csr, sha256 } = makeRequest(makeKey());
    const signature = sign('sha256', utf8(renewalText(sha256)), old).toString('base64');
    const door = readDoor(`https://127.0.0.1:${this.ports.http}`, this.ca);
    return await askToRenew(door, { certificate: certificate.toString(), csr, signature }).then(
      () => 'renewed',
      (error: unknown) => (error instanceof DroverError ? error.code : String(error)),
    );
  }
}
