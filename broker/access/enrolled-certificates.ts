/**
 * Lists the certificates of enrolled robots that are good at this moment. Their authority signs
 * them for months, so a signature alone admits none: the enrolment puts the key and the serial of
 * each good one here, and takes them away when it ends.
 */

import type { X509Certificate } from 'node:crypto';
import { isRobotId, type EpochMs, type RobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { robotOfCertificate, type Identity } from './access.ts';

/** A certificate of an enrolled robot, as a client presents it. */
export interface ShownCertificate {
  readonly robot: RobotId;
  /** SHA-256 of its SubjectPublicKeyInfo. */
  readonly keySha256: Sha256Hex;
  /** Lower-case hex. */
  readonly serial: string;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
}

/** The certificates of one robot that are good. */
export interface GoodCertificates {
  readonly issued: readonly { readonly key_sha256: Sha256Hex; readonly serial: string }[];
  /** After a restore: those that begin later are good as well; else null. */
  readonly laterThan: EpochMs | null;
}

export class EnrolledCertificates {
  /** Certificates of the authorities that sign for enrolled robots. */
  readonly authorities: readonly X509Certificate[];
  readonly #byRobot = new Map<RobotId, GoodCertificates>();
  readonly #shown = new WeakMap<Identity, ShownCertificate>();
  #onSeen: ((shown: ShownCertificate) => void) | null = null;

  constructor(authorities: readonly X509Certificate[]) {
    this.authorities = authorities;
  }

  /** @param good null for a robot that has none, or none any more */
  set(robot: RobotId, good: GoodCertificates | null): void {
    if (good) this.#byRobot.set(robot, good);
    else this.#byRobot.delete(robot);
  }

  /** @param listener called with each good certificate that a client has shown; must not throw */
  onSeen(listener: (shown: ShownCertificate) => void): void {
    this.#onSeen = listener;
  }

  /** True when one of the authorities has signed it. */
  hasSigned(certificate: X509Certificate): boolean {
    return this.authorities.some(
      (one) => certificate.checkIssued(one) && certificate.verify(one.publicKey),
    );
  }

  /** True for one that is in the list, whichever authority has signed it. */
  lists(certificate: X509Certificate): boolean {
    const shown = readShown(certificate);
    const issued = shown ? (this.#byRobot.get(shown.robot)?.issued ?? []) : [];
    return issued.some((one) => one.key_sha256 === shown?.keySha256 && one.serial === shown.serial);
  }

  /** Null when the certificate is not good, or no longer. */
  admit(certificate: X509Certificate): Identity | null {
    const shown = readShown(certificate);
    if (!shown || !this.#isGood(shown)) return null;
    const { robot } = shown;
    const identity = robotOfCertificate({ commonName: robot, subjectAltName: undefined });
    if (!identity) return null;
    this.#shown.set(identity, shown);
    this.#onSeen?.(shown);
    return identity;
  }

  /** False once its certificate was revoked, replaced, renewed or has ended. */
  isCurrent(identity: Identity): boolean {
    const shown = this.#shown.get(identity);
    return shown === undefined || (this.#isGood(shown) && Date.now() < shown.notAfter);
  }

  #isGood({ robot, keySha256, serial, notBefore }: ShownCertificate): boolean {
    const good = this.#byRobot.get(robot);
    if (!good) return false;
    const isListed = good.issued.some(
      (one) => one.key_sha256 === keySha256 && one.serial === serial,
    );
    return isListed || (good.laterThan !== null && notBefore > good.laterThan);
  }
}

/** Null for a certificate that names no robot, or whose key is of no kind that is known here. */
export function readShown(certificate: X509Certificate): ShownCertificate | null {
  const robot = /^CN=(.*)$/.exec(certificate.subject)?.[1] ?? '';
  if (!isRobotId(robot)) return null;
  const key = keyOf(certificate);
  if (key === null) return null;
  return {
    ...{ robot, keySha256: sha256Hex(key), serial: certificate.serialNumber.toLowerCase() },
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
  };
}

/** As DER. A stranger may show a certificate with a key that OpenSSL cannot read. */
function keyOf(certificate: X509Certificate): Buffer | null {
  try {
    return certificate.publicKey.export({ type: 'spki', format: 'der' });
  } catch {
    return null; // no key that could have been listed
  }
}
