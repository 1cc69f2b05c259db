/**
 * The authority that signs the certificates of enrolled robots: its certificate and key from two
 * PEM files. The code that signs and checks requests is large, and loaded at the first use: most
 * brokers issue no certificates.
 */

import {
  createPrivateKey,
  randomBytes,
  verify,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { instantText } from '../../shared/base/durations.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import type { Log } from '../../shared/base/ports.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { renewalText, type RenewRequest } from '../../shared/formats/http-api.ts';
import {
  readShown,
  type EnrolledCertificates,
  type ShownCertificate,
} from '../access/enrolled-certificates.ts';
import type { Draft, Issued } from './certificate-record.ts';
import type { CheckedRequest } from './certificate-request.ts';
import type { EnrolmentView } from './records.ts';

export interface AuthorityFiles {
  /** PEM: the authority that signs; then older ones, whose certificates are still taken. */
  readonly certFile: string;
  readonly keyFile: string;
  /** How long a certificate is good. */
  readonly lifeMs: number;
}

const SERIAL_BYTES = 16;
const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export class IssuingAuthority {
  readonly certificates: readonly X509Certificate[];
  readonly #certificate: X509Certificate;
  readonly #key: KeyObject;
  readonly #lifeMs: number;

  private constructor(certificates: readonly X509Certificate[], key: KeyObject, lifeMs: number) {
    const [first] = certificates;
    if (!first) throw new TypeError('IssuingAuthority: no certificate');
    this.certificates = certificates;
    this.#certificate = first;
    this.#key = key;
    this.#lifeMs = lifeMs;
  }

  /** @throws DroverError TLS_INVALID */
  static open({ certFile, keyFile, lifeMs }: AuthorityFiles): IssuingAuthority {
    const certificates = readCertificates(certFile);
    const key = readKey(keyFile);
    const [first] = certificates;
    if (first?.checkPrivateKey(key) !== true) {
      throw invalid(`use ${certFile} with ${keyFile}: they do not fit`);
    }
    return new IssuingAuthority(certificates, key, lifeMs);
  }

  /** Keys of the authorities whose certificates are taken: this one, and older ones. */
  get keys(): ReadonlySet<Sha256Hex> {
    return new Set(this.certificates.map(keyHashOf));
  }

  /** When it ends. */
  get ends(): EpochMs {
    return Date.parse(this.#certificate.validTo);
  }

  /** @throws DroverError CERTIFICATE_CLOCK for a clock before its begin, CERTIFICATE_EXPIRED */
  draft(now: EpochMs): Draft {
    const begin = Date.parse(this.#certificate.validFrom);
    const said = `the clock of this broker says ${instantText(now)}`;
    if (now < begin) {
      const why = `${said}, its authority began at ${instantText(begin)}`;
      throw new DroverError('CERTIFICATE_CLOCK', `issue certificate: ${why}`);
    }
    if (now >= this.ends) {
      const why = `${said}, its authority ended at ${instantText(this.ends)}`;
      throw new DroverError('CERTIFICATE_EXPIRED', `issue certificate: ${why}`, {
        hint: 'make a new authority with drover-broker ca init, put its certificate before the old one in the file of --enrol-ca-cert, and restart the broker',
      });
    }
    const bytes = randomBytes(SERIAL_BYTES);
    bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40; // positive, and as long as every other one
    const serial = bytes.toString('hex');
    const authority = keyHashOf(this.#certificate);
    return { serial, now, lifeMs: this.#lifeMs, authorityEnds: this.ends, authority };
  }

  /** @throws DroverError CSR_INVALID, CSR_KEY_REFUSED */
  async check(csr: string): Promise<CheckedRequest> {
    const { checkRequest } = await import('./certificate-request.ts');
    return checkRequest(csr);
  }

  /** The same PEM but for its signature when it is called again. */
  async sign(robot: string, issued: Issued, publicKey: Uint8Array): Promise<string> {
    const { issueClientCertificate } = await import('./x509.ts');
    return issueClientCertificate(
      { certificate: this.#certificate, key: this.#key },
      {
        ...{ publicKey, commonName: robot, serial: issued.serial },
        ...{ notBefore: issued.not_before, notAfter: issued.not_after },
      },
    );
  }
}

const keyHashOf = ({ publicKey }: X509Certificate): Sha256Hex =>
  sha256Hex(publicKey.export({ type: 'spki', format: 'der' }));

/**
 * Warns of robots that cannot connect: another authority signed their certificates, and its own
 * certificate was not left in the file.
 */
export function tellForeign(enrolments: readonly EnrolmentView[], log: Log): void {
  const foreign = enrolments.filter(({ certificate }) => certificate?.state === 'foreign');
  const [first] = foreign;
  if (!first) return;
  const robots = foreign.slice(0, 5).map((one) => one.robot_id);
  const many = countOf(foreign.length, 'enrolled robot has', 'enrolled robots have');
  const why = `${many} a certificate of another authority, and cannot connect`;
  const problem = new DroverError('CERTIFICATE_FOREIGN', `use --enrol-ca-cert: ${why}`, {
    hint: 'put the certificate of the authority that signed them behind the one of now, in the file of --enrol-ca-cert, and start again: robots then renew with the new one (docs/enrolment.md, Change the authority)',
  });
  log.warn({ robots, count: foreign.length, problem: toProblem(problem) }, 'robots are locked out');
}

/**
 * A request that names another robot is a mistake somewhere, or an attempt.
 * @throws DroverError CSR_INVALID
 */
export function assertNamesNoOther({ names }: CheckedRequest, robot: RobotId): void {
  const other = names.find((name) => name !== robot && name !== '');
  if (other === undefined) return;
  const counts = `(got ${printable(other, 64)}, want no name, or ${robot})`;
  throw new DroverError('CSR_INVALID', `read request: it names another robot ${counts}`);
}

/**
 * Checks that the key of a certificate has signed a renewal. It does not say that the certificate
 * is still good.
 * @returns null for another signature, or a certificate of which nothing is known here
 * @throws DroverError CERTIFICATE_FOREIGN for one in the list, of another authority
 */
export function readRenewal(
  { certificate: pem, signature }: RenewRequest,
  { request, enrolled }: { request: CheckedRequest; enrolled: EnrolledCertificates },
): ShownCertificate | null {
  const certificate = parseCertificate(pem);
  const isForeign = certificate !== null && !enrolled.hasSigned(certificate);
  if (!certificate || (isForeign && !enrolled.lists(certificate))) return null;
  const { publicKey } = certificate;
  const digest = publicKey.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  const text = utf8(renewalText(request.sha256));
  if (!verify(digest, text, publicKey, Buffer.from(signature, 'base64'))) return null;
  if (isForeign) {
    const why = 'another authority than those of this broker signed this certificate';
    throw new DroverError('CERTIFICATE_FOREIGN', `renew: ${why}`);
  }
  return readShown(certificate);
}

function parseCertificate(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null; // no certificate at all
  }
}

const invalid = (text: string, cause?: unknown): DroverError =>
  new DroverError('TLS_INVALID', text, {
    hint: 'give --enrol-ca-cert and the --enrol-ca-key of the first certificate in it: drover-broker ca init makes both; when the key is lost, make another authority (docs/enrolment.md, Change the authority)',
    ...(cause !== undefined && { cause }),
  });

function readCertificates(file: string): X509Certificate[] {
  const found = read(file).match(CERTIFICATES) ?? [];
  if (found.length === 0) {
    throw invalid(`read ${file}: no certificate in PEM`);
  }
  return found.map((pem) => {
    const certificate = parseCertificate(pem);
    const isOwn = certificate?.ca === true && certificate.verify(certificate.publicKey);
    if (certificate && isOwn) return certificate;
    const want = 'want one that signed itself: drover-broker ca init makes it';
    throw invalid(`read ${file}: not an authority (${want})`);
  });
}

function readKey(file: string): KeyObject {
  const pem = read(file);
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw invalid(`read ${file}: no plain private key in PEM`, cause);
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw invalid(`read ${file}: ${why}`, cause);
  }
}
