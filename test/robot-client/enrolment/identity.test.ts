/** A robot that enrols for a certificate and renews it, cut off at each step. */

import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { checkRequest } from '../../../broker/enrolment/certificate-request.ts';
import {
  issueClientCertificate,
  selfSignedAuthority,
  spkiOf,
} from '../../../broker/enrolment/x509.ts';
import { readDoor } from '../../../robot-client/enrolment/ask-broker.ts';
import { CertificateKeeper } from '../../../robot-client/enrolment/certificate-keeper.ts';
import { enrolRobot } from '../../../robot-client/enrolment/enrol.ts';
import { identityPath, readIdentity } from '../../../robot-client/enrolment/identity-files.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import {
  claimText,
  ENROL_PATH,
  parseClaim,
  parseEnrolRequest,
  parseRenewRequest,
} from '../../../shared/formats/http-api.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const [CLAIM, ROBOT, SERIAL] = [claimText('c'.repeat(43)), 'amr-0001', `4${'1'.repeat(31)}`];
const LOG = makeLog('test', 'silent');

type Way = 'answers' | 'hangs up' | 'names another' | 'takes another key';

/** A broker that signs whatever it gets, or fails in a certain way. */
async function startPeer(t: TestContext, lifeMs = 86_400_000) {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const fields = { publicKey: spkiOf(publicKey), serial: SERIAL, commonName: 'peer' };
  const times = { notBefore: Date.now() - 1000, notAfter: Date.now() + 1e9 };
  const issuer = {
    key,
    certificate: new X509Certificate(selfSignedAuthority(key, { ...fields, ...times })),
  };
  const peer = { way: 'answers' as Way, keys: [] as string[] };
  const answerTo = (path: string, body: Uint8Array): string => {
    const isFirst = path === ENROL_PATH;
    const csr = isFirst ? (parseEnrolRequest(body).csr ?? '') : parseRenewRequest(body).csr;
    const request = checkRequest(csr);
    peer.keys.push(request.keySha256);
    const stranger = spkiOf(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey);
    const certificate = issueClientCertificate(issuer, {
      publicKey: peer.way === 'takes another key' ? stranger : request.publicKey,
      commonName: peer.way === 'names another' ? 'amr-0002' : ROBOT,
      ...{ serial: SERIAL, notBefore: Date.now() - 1000, notAfter: Date.now() + lifeMs },
    });
    return JSON.stringify({ robot_id: ROBOT, status: 'enrolled', certificate });
  };
  const server = createServer((request, reply) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const answer = answerTo(request.url ?? '', new Uint8Array(Buffer.concat(pieces)));
      if (peer.way === 'hangs up') request.socket.destroy();
      else reply.end(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const folder = await tempFolder(t);
  const [out, identity] = [join(folder, 'etc/credentials'), join(folder, 'lib/identity')];
  const door = readDoor(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, undefined);
  const enrol = (claim = CLAIM): Promise<string> =>
    codeOf(enrolRobot({ door, claim, out, identity, waitMs: 0, onKey: () => undefined }));
  return { peer, folder, out, identity, door, enrol };
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => 'done',
    (error: unknown) => (error instanceof DroverError ? error.code : String(error)),
  );

describe('a robot that enrols for a certificate', () => {
  it('has key and certificate in one file that only it may read, and its key was never sent', async (t) => {
    const { peer, out, identity, door, enrol } = await startPeer(t);
    assert.equal(await enrol(), 'done');
    assert.deepEqual((await readdir(identity)).sort(), ['enrolment.json', 'identity.pem']);
    assert.equal((await stat(identityPath(identity))).mode & 0o777, 0o600);
    assert.equal((await stat(identity)).mode & 0o777, 0o700);
    const text = await readFile(out, 'utf8');
    assert.match(text, new RegExp(`^DROVER_ROBOT_ID=${ROBOT}\nDROVER_IDENTITY=${identity}$`, 'm'));
    assert.doesNotMatch(text, /PASSWORD|PRIVATE/);
    const own = readIdentity(identity);
    assert.ok(own.certificate.checkPrivateKey(own.key));
    assert.equal(await enrol(), 'done');
    assert.equal(peer.keys.length, 1, 'the broker is not asked again');
    const other = claimText('d'.repeat(43));
    assert.equal(await enrol(other), 'FILE_EXISTS');
    const hintOf = (error: unknown): string => (error as DroverError).hint;
    const options = { door, claim: other, out, identity, waitMs: 0, onKey() {} };
    const hint = await enrolRobot(options).then(() => '', hintOf);
    assert.match(hint, new RegExp(`move ${out} and ${identity} away`), 'both at once');
  });

  it('is refused a file with the claims of others, since the last one would make another robot of it', () => {
    const [one, two] = ['c', 'd'].map((letter) => claimText(letter.repeat(43)));
    assert.equal(parseClaim(`amr-0001 ${one}\n`), one);
    assertRefused('USAGE', () => parseClaim(`amr-0001 ${one}\namr-0002 ${two}\n`), /got 2/);
    assertRefused('USAGE', () => parseClaim('amr-0001 claim_short'), /this is none/);
  });

  it('asks with the same key after a lost answer, or one that is not for it', async (t) => {
    const { peer, identity, enrol } = await startPeer(t);
    for (const way of ['hangs up', 'names another', 'takes another key'] as const) {
      peer.way = way;
      const code = way === 'hangs up' ? 'BROKER_UNREACHABLE' : 'BROKER_REFUSED';
      assert.equal(await enrol(), code, way);
      assert.deepEqual(await readdir(identity), ['next.key']);
    }
    peer.way = 'answers';
    assert.equal(await enrol(), 'done');
    assert.equal(new Set(peer.keys).size, 1);
  });

  it('goes on wherever it was killed, with the one key that the broker knows', async (t) => {
    const { peer, folder, out, identity, enrol } = await startPeer(t);
    peer.way = 'hangs up';
    await enrol();
    const key = await readFile(join(identity, 'next.key'));
    peer.way = 'answers';
    await enrol();
    const done = { out, pem: identityPath(identity), origin: join(identity, 'enrolment.json') };
    const whole = join(folder, 'whole');
    await cp(identity, whole, { recursive: true });
    const credentials = await readFile(out);
    /** Files that are there when the kill comes, from the last step to the first. */
    const steps: (readonly (keyof typeof done)[])[] = [
      ['pem', 'origin', 'out'],
      ['pem', 'origin'],
      ['origin'],
      [],
    ];
    for (const there of steps) {
      await rm(identity, { recursive: true });
      await cp(whole, identity, { recursive: true });
      await writeFile(out, credentials);
      await writeFile(join(identity, 'next.key'), key);
      for (const name of ['pem', 'origin', 'out'] as const) {
        if (!there.includes(name)) await rm(done[name]);
      }
      assert.equal(await enrol(), 'done', there.join());
      assert.equal(readIdentity(identity).robot, ROBOT);
      assert.ok(existsSync(out));
    }
    assert.equal(new Set(peer.keys).size, 1);
  });

  it('uses up no claim when its disk takes no key, and loses none when it takes no certificate', async (t) => {
    const { peer, folder, identity, enrol } = await startPeer(t);
    await writeFile(join(folder, 'lib'), '');
    assert.equal(await enrol(), 'FILE_UNREADABLE');
    assert.deepEqual(peer.keys, []);
    await rm(join(folder, 'lib'));
    await mkdir(join(identity, 'enrolment.json'), { recursive: true });
    assert.equal(await enrol(), 'DISK_WRITE_FAILED');
    await rm(join(identity, 'enrolment.json'), { recursive: true });
    assert.equal(await enrol(), 'done');
    assert.equal(peer.keys.length, 2);
    assert.equal(peer.keys[0], peer.keys[1]);
  });
});

describe('the certificate of an agent', () => {
  it('is renewed in time with a new key, also after a lost answer and a kill in the middle', async (t) => {
    const { peer, identity, enrol } = await startPeer(t, 200);
    assert.equal(await enrol(), 'done');
    const old = readIdentity(identity);
    peer.way = 'hangs up';
    let keeper = CertificateKeeper.open({ folder: identity, caFile: undefined, log: LOG });
    keeper.start(() => assert.fail('nothing came'));
    await waitUntil('a renewal to be asked for', () => peer.keys.length >= 3);
    await keeper.close();
    assert.equal(new Set(peer.keys.slice(1)).size, 1, 'one new key, however often it asks');
    assert.notEqual(peer.keys[0], peer.keys[1]);
    assert.ok(old.certificate.checkPrivateKey(readIdentity(identity).key), 'the old one stays');
    peer.way = 'answers';
    keeper = CertificateKeeper.open({ folder: identity, caFile: undefined, log: LOG });
    let renewed = 0;
    keeper.start(() => (renewed += 1));
    await waitUntil('it to be renewed', () => renewed > 0);
    await keeper.close();
    const own = readIdentity(identity);
    assert.ok(own.certificate.checkPrivateKey(own.key));
    assert.ok(!old.certificate.checkPrivateKey(own.key));
    assert.deepEqual((await readdir(identity)).sort(), ['enrolment.json', 'identity.pem']);
  });

  it('with a key that a power cut left behind gets another one', async (t) => {
    const { peer, identity, enrol } = await startPeer(t, 200);
    assert.equal(await enrol(), 'done');
    const pem = await readFile(identityPath(identity), 'utf8');
    await writeFile(join(identity, 'next.key'), pem.slice(0, pem.indexOf('-----BEGIN CERT')));
    const keeper = CertificateKeeper.open({ folder: identity, caFile: undefined, log: LOG });
    let renewed = 0;
    keeper.start(() => (renewed += 1));
    await waitUntil('it to be renewed', () => renewed > 0);
    await keeper.close();
    assert.equal(peer.keys[0] === peer.keys[1], false);
  });

  it('that is damaged ends the start with a reason', async (t) => {
    const { identity, enrol } = await startPeer(t);
    assert.equal(await enrol(), 'done');
    await writeFile(identityPath(identity), 'nothing');
    assert.throws(() => readIdentity(identity), { code: 'FILE_UNREADABLE' });
  });
});
