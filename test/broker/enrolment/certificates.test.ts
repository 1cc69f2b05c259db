/** Robots and impostors enrol for certificates, with the real database and authority. */

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { EnrolledCertificates } from '../../../broker/access/enrolled-certificates.ts';
import { whyRefused } from '../../../broker/access/why-refused.ts';
import type { AuditedDecision } from '../../../broker/audit/decision.ts';
import { IssuingAuthority, tellForeign } from '../../../broker/enrolment/authority.ts';
import { Enrolment } from '../../../broker/enrolment/enrolment.ts';
import { afterRestore } from '../../../broker/enrolment/records.ts';
import { selfSignedAuthority, spkiOf } from '../../../broker/enrolment/x509.ts';
import { makeKey, makeRequest } from '../../../robot-client/enrolment/signing-request.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { claimText, renewalText } from '../../../shared/formats/http-api.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const [ROBOT, OTHER] = ['amr-0001' as RobotId, 'amr-0002' as RobotId];
const DAY = 86_400_000;
const claimOf = (robot: string): string => claimText(robot.at(-1)?.repeat(43) ?? '');
const order = (robot: RobotId, claim = claimOf(robot)) => ({
  ...{ robot_id: robot, claim_sha256: sha256Hex(utf8(claim)) },
  ...{ expires_at: Date.now() + 60_000, needs_yes: false },
});
const codeOf = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => 'done',
    (error: unknown) => (error instanceof DroverError ? error.code : String(error)),
  );

async function writeAuthority(folder: string, name: string): Promise<[string, string]> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const pem = selfSignedAuthority(privateKey, {
    ...{ publicKey: spkiOf(publicKey), serial: `4${'1'.repeat(31)}`, commonName: name },
    ...{ notBefore: Date.now() - 1000 * DAY, notAfter: Date.now() + 1000 * DAY },
  });
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  await writeFile(cert, pem);
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return [cert, key];
}

/** Enrolments with an authority, and a clock that the test moves. */
async function open(t: TestContext) {
  const folder = await tempFolder(t);
  t.mock.timers.reset();
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const [certFile, keyFile] = await writeAuthority(folder, 'ours');
  const audited: AuditedDecision[] = [];
  let ended = 0;
  const start = async (name = 'enrolment', files = { certFile, keyFile }) => {
    const authority = IssuingAuthority.open({ ...files, lifeMs: 90 * DAY });
    const enrolled = new EnrolledCertificates(authority.certificates);
    const enrolment = await Enrolment.open({
      ...{ folder: join(folder, name), log: makeLog('test', 'silent') },
      certificates: { authority, enrolled },
      audit: { note: async (one) => void audited.push(one) },
      onEnded: () => (ended += 1),
    });
    return { authority, enrolled, enrolment };
  };
  const first = await start();
  await first.enrolment.add(
    [ROBOT, OTHER].map((robot) => order(robot)),
    { replace: false },
  );
  const pass = (days: number): void => t.mock.timers.setTime(Date.now() + days * DAY);
  const kinds = (): string[] => audited.map(({ kind }) => kind);
  return { folder, ...first, start, pass, kinds, endings: () => ended };
}
type Opened = Pick<Awaited<ReturnType<typeof open>>, 'enrolment' | 'enrolled'>;

/** @returns what a robot has afterwards */
async function enrol({ enrolment }: Opened, key: KeyObject, robot = ROBOT) {
  const asked = { claim: claimOf(robot), csr: makeRequest(key).pem };
  const { certificate = '' } = await enrolment.claim(asked, '10.0.0.9');
  return { key, certificate: new X509Certificate(certificate) };
}
type Holder = Awaited<ReturnType<typeof enrol>>;

async function renew({ enrolment }: Opened, { key: old, certificate }: Holder, key = makeKey()) {
  const { pem: csr, sha256 } = makeRequest(key);
  const signature = sign('sha256', utf8(renewalText(sha256)), old).toString('base64');
  const asked = { certificate: certificate.toString(), csr, signature };
  const answer = await enrolment.renew(asked, '10.0.0.9');
  return { key, certificate: new X509Certificate(answer.certificate) };
}
const admits = ({ enrolled }: Opened, { certificate }: Holder): boolean =>
  enrolled.hasSigned(certificate) && enrolled.admit(certificate) !== null;

/** Shows a renewed certificate, and waits until the one before is void. */
async function takeUp(broker: Opened, renewed: Holder, before: Holder): Promise<void> {
  assert.ok(admits(broker, renewed));
  await waitUntil('the old one to end', () => !admits(broker, before));
}

describe('a robot that enrols for a certificate', () => {
  it('is let in by it, once for each claim, and after a restart', async (t) => {
    const broker = await open(t);
    const key = makeKey();
    const first = await enrol(broker, key);
    const again = await enrol(broker, key);
    assert.equal(again.certificate.serialNumber, first.certificate.serialNumber);
    assert.equal(await codeOf(enrol(broker, makeKey())), 'CLAIM_USED');
    assert.equal(await codeOf(enrol(broker, key, OTHER)), 'CLAIM_KEY_TAKEN');
    assert.deepEqual(broker.kinds(), [
      'enrolment.claimed',
      'enrolment.enrolled',
      'certificate.issued',
    ]);
    await broker.enrolment.close();
    const next = await broker.start();
    t.after(() => next.enrolment.close());
    const identity = next.enrolled.admit(first.certificate);
    assert.equal(identity?.kind === 'user' && identity.robot, ROBOT);
    const [view] = next.enrolment.list();
    assert.deepEqual([view?.certificate?.state, view?.certificate?.days_left], ['good', 90]);
  });

  it('gets no other name by its request, and no secret where only certificates are given', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    const token = { claim: claimOf(ROBOT), token_sha256: sha256Hex(utf8('x')) };
    assert.equal(await codeOf(broker.enrolment.claim(token, 'x')), 'ENROLMENT_OFF');
    const { certificate } = await enrol(broker, makeKey());
    assert.equal(certificate.subject, `CN=${ROBOT}`);
  });

  it('renews with a new key, and then its old certificate is worth nothing to a thief', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    const first = await enrol(broker, makeKey());
    assert.equal(await codeOf(renew(broker, first)), 'CERTIFICATE_NOT_DUE');
    broker.pass(61);
    const key = makeKey();
    const second = await renew(broker, first, key);
    const repeated = await renew(broker, first, key);
    assert.equal(repeated.certificate.serialNumber, second.certificate.serialNumber);
    assert.ok(admits(broker, first), 'the answer may have been lost');
    const identity = broker.enrolled.admit(first.certificate);
    await takeUp(broker, second, first);
    assert.ok(identity && !broker.enrolled.isCurrent(identity), 'its connection ends');
    assert.equal(broker.endings(), 1);
    assert.equal(await codeOf(renew(broker, first)), 'CERTIFICATE_UNKNOWN');
    assert.equal(await codeOf(enrol(broker, first.key)), 'CLAIM_USED');
    assert.deepEqual(broker.kinds().slice(-2), ['certificate.renewed', 'certificate.replaced']);
  });

  it('is noticed when a thief renews first: its own certificate is refused', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    const robot = await enrol(broker, makeKey());
    broker.pass(61);
    const thief = await renew(broker, robot);
    await takeUp(broker, thief, robot);
    assert.equal(await codeOf(renew(broker, robot)), 'CERTIFICATE_UNKNOWN');
    await broker.enrolment.add([order(ROBOT, claimOf('x'))], { replace: true });
    const asked = { claim: claimOf('x'), csr: makeRequest(makeKey()).pem };
    assert.equal((await broker.enrolment.claim(asked, 'x')).status, 'enrolled');
    assert.ok(!admits(broker, thief));
  });

  it('loses it at once by a revocation, and cannot renew it', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    const robot = await enrol(broker, makeKey());
    broker.pass(61);
    const next = await renew(broker, robot);
    await broker.enrolment.revoke(ROBOT, 'ann');
    assert.ok(!admits(broker, robot) && !admits(broker, next));
    assert.equal(await codeOf(renew(broker, next)), 'CERTIFICATE_UNKNOWN');
    assert.equal(await codeOf(enrol(broker, robot.key)), 'CLAIM_REVOKED');
    assert.deepEqual(broker.kinds().slice(-2), ['certificate.revoked', 'certificate.revoked']);
  });

  it('renews one that has expired, for a season, and not by a signature of another key', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    const robot = await enrol(broker, makeKey());
    broker.pass(170);
    assert.equal(await codeOf(renew(broker, { ...robot, key: makeKey() })), 'CERTIFICATE_UNKNOWN');
    assert.equal(await codeOf(renew(broker, robot)), 'done');
    broker.pass(11);
    assert.equal(await codeOf(renew(broker, robot)), 'CERTIFICATE_TOO_OLD');
  });

  it('is not taken for one whom another authority of the same name has signed', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    const elsewhere = await open(t);
    t.after(() => elsewhere.enrolment.close());
    await enrol(broker, makeKey());
    const stranger = await enrol(elsewhere, makeKey());
    assert.ok(!broker.enrolled.hasSigned(stranger.certificate));
    elsewhere.pass(61);
    assert.equal(await codeOf(renew(broker, stranger)), 'CERTIFICATE_UNKNOWN');
  });

  it('that is good itself is not called ended when an authority of its chain has ended', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    const { certificate } = await enrol(broker, makeKey());
    const { enrolled } = broker;
    const refused = { name: ROBOT, reason: 'CERT_HAS_EXPIRED', certificate, enrolled };
    assert.match(whyRefused(refused).message, /an authority that signed it has ended/);
    assert.match(whyRefused(refused).hint, /certificate of the authority/);
  });

  it('is shown as of another authority when that was replaced, until both are in the file', async (t) => {
    const broker = await open(t);
    const robot = await enrol(broker, makeKey());
    await broker.enrolment.close();
    const [certFile, keyFile] = await writeAuthority(broker.folder, 'next');
    const replaced = await broker.start('enrolment', { certFile, keyFile });
    assert.deepEqual(replaced.enrolment.list()[0]?.certificate?.state, 'foreign');
    const lines: { count: number; problem: { code: string; hint: string } }[] = [];
    const log = {
      ...makeLog('test', 'silent'),
      warn: (facts: object) => lines.push(facts as never),
    };
    tellForeign(replaced.enrolment.list(), log);
    assert.deepEqual([lines[0]?.count, lines[0]?.problem.code], [1, 'CERTIFICATE_FOREIGN']);
    assert.match(lines[0]?.problem.hint ?? '', /behind the one of now/);
    const { certificate } = robot;
    const reason = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE';
    const { enrolled } = replaced;
    for (const one of [reason, 'CERT_HAS_EXPIRED'])
      assert.equal(
        whyRefused({ name: ROBOT, reason: one, certificate, enrolled }).code,
        'CERTIFICATE_FOREIGN',
      );
    broker.pass(61);
    assert.equal(await codeOf(renew(replaced, robot)), 'CERTIFICATE_FOREIGN');
    const forged = renew(replaced, { ...robot, key: makeKey() });
    assert.equal(await codeOf(forged), 'CERTIFICATE_UNKNOWN', 'a stranger learns nothing');
    await replaced.enrolment.close();
    const both = join(broker.folder, 'both.crt');
    const old = join(broker.folder, 'ours.crt');
    await writeFile(both, `${await readFile(certFile, 'utf8')}${await readFile(old, 'utf8')}`);
    const now = await broker.start('enrolment', { certFile: both, keyFile });
    t.after(() => now.enrolment.close());
    assert.ok(admits(now, robot));
    const renewed = await renew(now, robot);
    await takeUp(now, renewed, robot);
    assert.ok(replaced.enrolled.hasSigned(renewed.certificate), 'by the new one');
    assert.deepEqual(now.enrolment.list()[0]?.certificate?.state, 'good');
    tellForeign(now.enrolment.list(), log);
    assert.equal(lines.length, 1);
  });

  it('is shown as of another authority when the next one is, which the robot may use by now', async (t) => {
    const broker = await open(t);
    const robot = await enrol(broker, makeKey());
    await broker.enrolment.close();
    const [next, keyFile] = await writeAuthority(broker.folder, 'next');
    const ours = [join(broker.folder, 'ours.crt'), join(broker.folder, 'ours.key')] as const;
    const certFile = join(broker.folder, 'both.crt');
    await writeFile(certFile, `${await readFile(next, 'utf8')}${await readFile(ours[0], 'utf8')}`);
    const both = await broker.start('enrolment', { certFile, keyFile });
    broker.pass(61);
    await renew(both, robot);
    await both.enrolment.close();
    const back = await broker.start('enrolment', { certFile: ours[0], keyFile: ours[1] });
    t.after(() => back.enrolment.close());
    const lines: object[] = [];
    const warn = (facts: object): void => void lines.push(facts);
    tellForeign(back.enrolment.list(), { ...makeLog('test', 'silent'), warn });
    assert.equal(lines.length, 1);
  });

  it('that renewed after the backup is known to the broker that was restored from it', async (t) => {
    const broker = await open(t);
    const robot = await enrol(broker, makeKey());
    await broker.enrolment.close();
    const backup = await broker.start();
    broker.pass(61);
    const renewed = await renew(backup, robot); // elsewhere, after the backup
    await backup.enrolment.changeAll((record) => {
      const { credential } = record;
      if (!credential || !('next' in credential)) return record;
      return afterRestore({ ...record, credential: { ...credential, next: null } });
    });
    assert.ok(admits(backup, renewed));
    await waitUntil('the record to know it', () => !admits(backup, robot));
    assert.equal(broker.kinds().filter((one) => one === 'certificate.adopted').length, 1);
    await backup.enrolment.close();
  });
});

describe('an authority', () => {
  it('issues nothing while the clock is before its begin', async (t) => {
    const broker = await open(t);
    t.after(() => broker.enrolment.close());
    t.mock.timers.setTime(0);
    assert.equal(await codeOf(enrol(broker, makeKey())), 'CERTIFICATE_CLOCK');
  });

  it('is two files that fit, of an authority that signed itself', async (t) => {
    const folder = await tempFolder(t);
    const [cert, key] = await writeAuthority(folder, 'one');
    const [other, otherKey] = await writeAuthority(folder, 'two');
    const openAt = (certFile: string, keyFile: string) =>
      IssuingAuthority.open({ certFile, keyFile, lifeMs: DAY });
    for (const files of [
      [cert, otherKey],
      [key, key],
      [cert, cert],
      [join(folder, 'no'), key],
    ]) {
      assert.throws(() => openAt(files[0] ?? '', files[1] ?? ''), { code: 'TLS_INVALID' });
    }
    assert.equal(openAt(other, otherKey).certificates.length, 1);
  });
});
