/**
 * Shows how long the certificate of this robot is good, for `drover-robot status` and reports: one
 * that enrolment renews, or one of `--cert`, which is made by hand.
 */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { instantText } from '../../shared/base/durations.ts';
import { toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { daysUntil } from '../../shared/rules/trust-life.ts';
import { certificateProblem, type CertificateFacts, type CertificateLife } from './renewal-plan.ts';

export interface CertificateView {
  readonly expires_at: string;
  /** Negative once it has ended, by the clock of this robot. */
  readonly days_left: number;
  /** True when this robot renews it by itself. */
  readonly renews: boolean;
  readonly problem: Problem | null;
}

export function lifeOf(certificate: X509Certificate): CertificateLife {
  const tail = Number.parseInt(certificate.serialNumber.slice(-8), 16);
  return {
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    spread: Number.isNaN(tail) ? 0 : tail / 2 ** 32,
  };
}

export function showCertificate(facts: CertificateFacts, now: EpochMs): CertificateView {
  const { life, renews } = facts;
  const problem = certificateProblem(facts, now);
  return {
    ...{ expires_at: instantText(life.notAfter), days_left: daysUntil(life.notAfter, now), renews },
    problem: problem && toProblem(problem),
  };
}

/** When it ends, for reports: only while that is close or over, and nothing is done about it. */
export function endingOf(view: CertificateView | null | undefined): EpochMs | null {
  const code = view?.problem?.code ?? 'CERTIFICATE_CLOCK';
  return view && code !== 'CERTIFICATE_CLOCK' ? Date.parse(view.expires_at) : null;
}

/** Of the file of `--cert`; null while it cannot be read, which the link reports. */
export function viewOfFile(path: string): CertificateView | null {
  try {
    const life = lifeOf(new X509Certificate(readFileSync(path)));
    return showCertificate({ life, renews: false, failure: null }, Date.now());
  } catch {
    return null;
  }
}
