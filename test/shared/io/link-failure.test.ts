/** Each way in which a link with certificates fails, by real TLS: Node and OpenSSL on both sides. */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { issueClientCertificate } from '../../../broker/enrolment/x509.ts';
import { askToEnrol, readDoor } from '../../../robot-client/enrolment/ask-broker.ts';
import { makeKey, ownSpkiOf } from '../../../robot-client/enrolment/signing-request.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { MqttWire } from '../../../shared/io/mqtt-wire.ts';
import { claimText } from '../../../shared/formats/http-api.ts';
import { requirePeer } from '../../helpers/peer.ts';
import { repositoryFile } from '../../helpers/repository.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const SCRIPT = repositoryFile('examples/tls/make-certs.sh');
const LOG = makeLog('test', 'silent');
const DAY = 86_400_000;

/** Two authorities, a server certificate for localhost alone, and a robot of each. */
async function makeCertificates(t: TestContext): Promise<(name: string) => string> {
  const folder = await tempFolder(t);
  const make = (...words: string[]): unknown => execFileSync(SCRIPT, words, { stdio: 'pipe' });
  for (const site of ['own', 'other']) {
    make('ca', `${folder}/${site}`);
    make('robot', `${folder}/${site}`, 'r1');
  }
  make('server', `${folder}/own`, 'localhost');
  return (name) => `${folder}/${name}`;
}

const quiet = (socket: Socket): Socket => socket.on('error', () => {}); // both sides end it

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Why one attempt of a link fails. */
async function failureOf(
  url: string,
  files: { caFile?: string; certFile?: string; keyFile?: string; clientId?: string },
): Promise<DroverError> {
  let wire: MqttWire | null = null;
  const problem = await new Promise<DroverError>((resolve) => {
    const onFailed = resolve;
    wire = new MqttWire({ url, clientId: 'robot-r1', ...files }, { onMessage() {}, onFailed }, LOG);
  });
  await (wire as MqttWire | null)?.close();
  return problem;
}

describe('a link that cannot be made', () => {
  it('names the authority, the name, the protocol or the port that is wrong', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const path = await makeCertificates(t);
    const [cert, key] = [
      readFileSync(path('own/server.crt')),
      readFileSync(path('own/server.key')),
    ];
    const secure = createTlsServer({ cert, key }, (socket) => quiet(socket).end());
    secure.on('tlsClientError', () => {});
    const plain = createTcpServer((socket) => quiet(socket).end('HTTP/1.1 400 No'));
    const [tls, tcp] = [await listen(t, secure), await listen(t, plain)];
    const [right, wrong] = [{ caFile: path('own/ca.crt') }, { caFile: path('other/ca.crt') }];
    const cases = [
      [`mqtts://localhost:${tls}`, wrong, /not trusted here/, /--ca FILE/],
      [`mqtts://127.0.0.1:${tls}`, right, /not for 127.0.0.1, but for DNS:localhost/, /make-certs/],
      [`mqtt://localhost:${tls}`, {}, /before it answered/, /write mqtts:\/\//],
      [`ws://localhost:${tls}`, {}, /hang up|before it answered/, /write wss:\/\//],
      [`mqtts://localhost:${tcp}`, right, /does not speak TLS/, /mqtt:\/\//],
      [`mqtts://localhost:${tls}`, right, /before it answered/, /port of --mqtts/],
    ] as const;
    for (const [url, files, why, hint] of cases) {
      const problem = await failureOf(url, files);
      assert.equal(problem.code, 'BROKER_UNREACHABLE');
      assert.match(problem.message, why);
      assert.match(problem.hint, hint, url);
    }
    const own = {
      ...wrong,
      certFile: path('own/robots/r1.crt'),
      keyFile: path('own/robots/r1.key'),
    };
    const secured = await failureOf(`mqtt://localhost:${tls}`, own);
    assert.match(secured.message, /mqtts:\/\/localhost/, 'it spoke TLS, and says so');
  });

  it('to the HTTP port is explained with the same words', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const path = await makeCertificates(t);
    const [cert, key] = [
      readFileSync(path('own/server.crt')),
      readFileSync(path('own/server.key')),
    ];
    const secure = createTlsServer({ cert, key }, (socket) => quiet(socket).end());
    secure.on('tlsClientError', () => {});
    const port = await listen(t, secure);
    const ask = { claim: claimText('c'.repeat(43)), token_sha256: 'a'.repeat(64) } as never;
    const hintOf = async (url: string, ca: string): Promise<string> =>
      await askToEnrol(readDoor(url, path(ca)), ask).then(
        () => 'answered',
        (error: unknown) => (error as DroverError).hint,
      );
    assert.match(await hintOf(`https://localhost:${port}`, 'other/ca.crt'), /--ca FILE/);
    assert.match(await hintOf(`https://127.0.0.1:${port}`, 'own/ca.crt'), /make-certs/);
    assert.match(await hintOf(`http://localhost:${port}`, 'own/ca.crt'), /write https:/);
    assert.match(await hintOf(`https://localhost:${port}`, 'own/ca.crt'), /port of --http/);
  });
});

describe('an alert of TLS about the certificate of a robot', () => {
  it('becomes a code that says whether it was revoked, has ended, or is of a foreign authority', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const path = await makeCertificates(t);
    writeExpired(path);
    writeRevocations(path);
    const port = await startStrictServer(t, path);
    const codeWith = async (robot: string): Promise<string> => {
      const [certFile, keyFile] = [path(`${robot}.crt`), path(`${robot}.key`)];
      const files = { caFile: path('own/ca.crt'), certFile, keyFile };
      return (await failureOf(`mqtts://localhost:${port}`, files)).code;
    };
    assert.equal(await codeWith('own/robots/r1'), 'CERTIFICATE_UNKNOWN');
    assert.equal(await codeWith('expired'), 'CERTIFICATE_EXPIRED');
    assert.equal(await codeWith('other/robots/r1'), 'CERTIFICATE_FOREIGN');
    const none = await failureOf(`mqtts://localhost:${port}`, { caFile: path('own/ca.crt') });
    assert.equal(none.code, 'CERTIFICATE_REFUSED');
    assert.match(none.hint, /--identity/);
    for (const [clientId, hint] of [
      ['drover-0a1b2c', /drover has no certificate.*--broker.*--username/],
      ['drover-broker-0a1b2c-control', /--engine-username/],
      ['relay-site-7', /--upstream-cert/],
    ] as const) {
      const link = { caFile: path('own/ca.crt'), clientId };
      assert.match((await failureOf(`mqtts://localhost:${port}`, link)).hint, hint, clientId);
    }
  });
});

function writeExpired(path: (name: string) => string): void {
  const key = makeKey();
  const issuer = {
    certificate: new X509Certificate(readFileSync(path('own/ca.crt'))),
    key: createPrivateKey(readFileSync(path('own/ca.key'))),
  };
  const pem = issueClientCertificate(issuer, {
    ...{ publicKey: ownSpkiOf(key), commonName: 'r1', serial: `4${'1'.repeat(31)}` },
    ...{ notBefore: Date.now() - 2 * DAY, notAfter: Date.now() - DAY },
  });
  writeFileSync(path('expired.crt'), pem);
  writeFileSync(path('expired.key'), key.export({ type: 'pkcs8', format: 'pem' }));
}

/** The list of an authority that has revoked its robot r1. */
function writeRevocations(path: (name: string) => string): void {
  const { serialNumber } = new X509Certificate(readFileSync(path('own/robots/r1.crt')));
  writeFileSync(
    path('index'),
    `R\t491231000000Z\t260101000000Z\t${serialNumber}\tunknown\t/CN=r1\n`,
  );
  const settings = `[ca]\ndefault_ca = d\n[d]\ndatabase = ${path('index')}\n`;
  writeFileSync(path('ca.conf'), settings);
  const files = ['-keyfile', path('own/ca.key'), '-cert', path('own/ca.crt')];
  const how = ['-config', path('ca.conf'), '-md', 'sha256', '-crldays', '30'];
  const list = execFileSync('openssl', ['ca', '-gencrl', ...how, ...files], { stdio: 'pipe' });
  writeFileSync(path('trusted.pem'), Buffer.concat([readFileSync(path('own/ca.crt')), list]));
}

async function startStrictServer(t: TestContext, path: (name: string) => string): Promise<number> {
  const own = ['-cert', path('own/server.crt'), '-key', path('own/server.key')];
  const strict = ['-Verify', '1', '-verify_return_error', '-crl_check'];
  const args = ['s_server', '-accept', '0', ...own, '-CAfile', path('trusted.pem'), ...strict];
  const server = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'ignore'] });
  t.after(() => server.kill());
  let said = '';
  server.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
  await waitUntil('openssl to listen', () => /^ACCEPT \S*:\d+/m.test(said));
  return Number(/^ACCEPT \S*:(\d+)/m.exec(said)?.[1]);
}
