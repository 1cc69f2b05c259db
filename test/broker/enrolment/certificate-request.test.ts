/** Requests for certificates, and certificates: ours, those of OpenSSL, and hostile ones. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assertNamesNoOther } from '../../../broker/enrolment/authority.ts';
import { checkRequest } from '../../../broker/enrolment/certificate-request.ts';
import {
  issueClientCertificate,
  selfSignedAuthority,
  spkiOf,
} from '../../../broker/enrolment/x509.ts';
import { makeKey, makeRequest } from '../../../robot-client/enrolment/signing-request.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { requirePeer, requirePython } from '../../helpers/peer.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const ROBOT = 'amr-0001' as RobotId;
const SERIAL = `4${'7'.repeat(31)}`;
const NOW = Date.now();
const UNTIL = NOW + 86_400_000;

function makeAuthority() {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const fields = { publicKey: spkiOf(publicKey), serial: SERIAL, commonName: 'the authority' };
  const pem = selfSignedAuthority(key, { ...fields, notBefore: NOW, notAfter: UNTIL });
  return { key, pem, certificate: new X509Certificate(pem) };
}

const pemOf = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
const derOf = (pem: string): Buffer =>
  Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');

/** All that python3-cryptography finds in a request and in a certificate. */
const READ = `
import sys
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as E
csr = x509.load_pem_x509_csr(open(sys.argv[1], 'rb').read())
cert = x509.load_pem_x509_certificate(open(sys.argv[2], 'rb').read())
ca = x509.load_pem_x509_certificate(open(sys.argv[3], 'rb').read())
how = ec.ECDSA(cert.signature_hash_algorithm)
ca.public_key().verify(cert.signature, cert.tbs_certificate_bytes, how)
keys = [one.public_key().public_numbers() for one in (cert, csr)]
e = {x.oid._name: x for x in cert.extensions}
print(csr.is_signature_valid, len(csr.extensions), len(csr.subject), cert.subject.rfc4514_string(),
  hex(cert.serial_number)[2:], keys[0] == keys[1], e['basicConstraints'].value.ca,
  e['basicConstraints'].critical, list(e['extendedKeyUsage'].value) == [E.CLIENT_AUTH],
  e['keyUsage'].value.digital_signature, e['keyUsage'].value.key_cert_sign, len(e),
  e['authorityKeyIdentifier'].value.key_identifier ==
    ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest)
`;

describe('a request for a certificate', () => {
  it('of our robot is one for other programs too, and so is what it gets', async (t) => {
    const python = requirePython(t);
    if (python === null) return;
    const folder = await tempFolder(t);
    const authority = makeAuthority();
    const request = makeRequest(makeKey());
    const checked = checkRequest(request.pem);
    assert.equal(checked.keySha256, request.keySha256);
    assert.equal(checked.sha256, request.sha256);
    const pem = issueClientCertificate(authority, {
      ...{ publicKey: checked.publicKey, commonName: ROBOT, serial: SERIAL },
      ...{ notBefore: NOW, notAfter: UNTIL },
    });
    const [csr, cert, ca] = ['r.csr', 'r.crt', 'ca.crt'].map((name) => join(folder, name));
    const files = [csr ?? '', cert ?? '', ca ?? ''];
    for (const [at, text] of [request.pem, pem, authority.pem].entries()) {
      await writeFile(files[at] ?? '', text);
    }
    const said = execFileSync(python, ['-c', READ, ...files])
      .toString()
      .trim();
    const want = `True 0 0 CN=${ROBOT} ${SERIAL} True False True True True False 5 True`;
    assert.equal(said, want);
  });

  it('may have a key of three kinds, in sizes that hold', async (t) => {
    const openssl = requirePeer(t, 'openssl');
    if (openssl === null) return;
    const folder = await tempFolder(t);
    const of = async (...key: string[]): Promise<string> => {
      const [out, secret] = [join(folder, 'r.csr'), join(folder, 'r.key')];
      const args = ['req', '-new', '-nodes', '-newkey', ...key, '-subj', `/O=ours/CN=${ROBOT}`];
      execFileSync(openssl, [...args, '-out', out, '-keyout', secret], { stdio: 'pipe' });
      return await readFile(out, 'utf8');
    };
    const curve = (name: string) => ['ec', '-pkeyopt', `ec_paramgen_curve:${name}`];
    for (const kind of [curve('P-256'), ['ed25519'], ['rsa:2048']]) {
      assert.deepEqual(checkRequest(await of(...kind)).names, [ROBOT], kind.join(' '));
    }
    for (const kind of [curve('P-384'), ['rsa:1024'], ['ed448']]) {
      const pem = await of(...kind);
      assertRefused('CSR_KEY_REFUSED', () => checkRequest(pem), /want P-256/);
    }
    const small = await of('rsa:2048', '-pkeyopt', 'rsa_keygen_pubexp:3');
    assertRefused(
      'CSR_KEY_REFUSED',
      () => checkRequest(small),
      /exponent 3, want .*exponent 65537/,
    );
    const weak = await of('rsa:2048', '-sha1');
    assertRefused('CSR_INVALID', () => checkRequest(weak), /signature algorithm/);
  });

  it('for another robot is refused, and one that wants to be an authority gets nothing of it', async (t) => {
    const openssl = requirePeer(t, 'openssl');
    if (openssl === null) return;
    const folder = await tempFolder(t);
    const [out, secret] = [join(folder, 'r.csr'), join(folder, 'r.key')];
    const args = ['req', '-new', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const wishes = ['basicConstraints=critical,CA:TRUE', 'subjectAltName=DNS:amr-0002'];
    const asks = wishes.flatMap((one) => ['-addext', one]);
    const whole = [...args, '-subj', '/CN=amr-0002', ...asks, '-out', out, '-keyout', secret];
    execFileSync(openssl, whole, { stdio: 'pipe' });
    const checked = checkRequest(await readFile(out, 'utf8'));
    assertRefused('CSR_INVALID', () => assertNamesNoOther(checked, ROBOT), /got amr-0002/);
    assert.equal(
      verdictOf(() => assertNamesNoOther(checked, 'amr-0002' as RobotId)),
      'taken',
    );
    const certificate = new X509Certificate(
      issueClientCertificate(makeAuthority(), {
        ...{ publicKey: checked.publicKey, commonName: ROBOT, serial: SERIAL },
        ...{ notBefore: NOW, notAfter: UNTIL },
      }),
    );
    assert.deepEqual(
      [certificate.ca, certificate.subject, certificate.subjectAltName],
      [false, `CN=${ROBOT}`, undefined],
    );
  });

  it('that is damaged, or none, is refused with a code', () => {
    const { pem } = makeRequest(makeKey());
    const der = derOf(pem);
    for (let at = 0; at < der.byteLength; at += 1) {
      const damaged = Buffer.from(der);
      damaged[at] = (damaged[at] ?? 0) ^ 0x41;
      const verdict = verdictOf(() => checkRequest(pemOf(damaged)));
      assert.ok(['CSR_INVALID', 'CSR_KEY_REFUSED'].includes(verdict), `byte ${at}: ${verdict}`);
    }
    let deep: Buffer = Buffer.alloc(0);
    for (let n = 0; n < 1_500; n += 1) {
      const size = [0x30, 0x82, deep.byteLength >> 8, deep.byteLength & 0xff];
      deep = Buffer.concat([Buffer.from(size), deep]);
    }
    const long = pemOf(Buffer.alloc(LIMITS.csrBytesMax));
    const trailed = pemOf(Buffer.concat([der, Buffer.from('more')]));
    const others = ['', trailed, pem + pem, pem.replaceAll('REQUEST', ''), pemOf(deep), long];
    for (const text of others) assertRefused('CSR_INVALID', () => checkRequest(text));
  });

  it('by another key than its own is refused', () => {
    const [mine, other] = [derOf(makeRequest(makeKey()).pem), derOf(makeRequest(makeKey()).pem)];
    // Requests of one form: the public key of one, the signature of the other.
    const info = mine.subarray(0, mine.indexOf(Buffer.from('300a06082a8648ce3d040302', 'hex')));
    const rest = other.subarray(other.indexOf(Buffer.from('300a06082a8648ce3d040302', 'hex')));
    const mixed = Buffer.concat([info, rest]);
    mixed[1] = mixed.byteLength - (mixed[1] === 0x81 ? 3 : 2);
    if (info[1] === 0x81) {
      mixed[1] = 0x81;
      mixed[2] = mixed.byteLength - 3;
    }
    assertRefused('CSR_INVALID', () => checkRequest(pemOf(mixed)), /not by its own key/);
  });
});
