/**
 * Decides when a robot renews its certificate, and what it says about one that ends. The clock of
 * a robot may be wrong by years, so nothing is concluded from it: a robot whose clock finds the
 * certificate due, ended, or not begun asks the broker, whose clock decides. Sans-I/O.
 */

import { backoffMs } from '../../shared/base/backoff.ts';
import { instantText, timeLeft } from '../../shared/base/durations.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { daysUntil } from '../../shared/rules/trust-life.ts';

export interface CertificateLife {
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
  /** In [0, 1), by chance but the same for one certificate: a fleet that enrolled on one day does
   * not renew in one hour. */
  readonly spread: number;
}

/** Part of the lifetime after which it is renewed, and the part over which a fleet is spread. */
const RENEW_AFTER = 2 / 3;
const SPREAD = 1 / 12;
/** Half of the time for renewals is over: a person should know. */
const EXPIRING_AFTER = 5 / 6;
/** A short life has as many tries in it as a long one. */
const TRIES = { first: 1 / 200, most: 1 / 40, tick: 1 / 200 } as const;

const spanOf = ({ notBefore, notAfter }: CertificateLife): number => notAfter - notBefore;

export const renewsAt = (life: CertificateLife): EpochMs =>
  life.notBefore + spanOf(life) * (RENEW_AFTER + life.spread * SPREAD);

export type LifeState = 'not_begun' | 'good' | 'due' | 'expired';

export function lifeStateOf(life: CertificateLife, now: EpochMs): LifeState {
  if (now < life.notBefore) return 'not_begun';
  if (now >= life.notAfter) return 'expired';
  return now < renewsAt(life) ? 'good' : 'due';
}

/** How often the time is compared: a clock that is set is noticed soon. */
export const tickMs = (life: CertificateLife): number =>
  Math.max(100, Math.min(LIMITS.renewTickMs, spanOf(life) * TRIES.tick));

/** Tries so far, and when the next one may be made. */
export interface Tries {
  readonly failed: number;
  readonly nextAtMs: MonoMs;
}

export const NO_TRIES: Tries = { failed: 0, nextAtMs: Number.NEGATIVE_INFINITY };

/** True when the broker is asked now. */
export const isAsked = (
  life: CertificateLife,
  {
    now,
    monoMs,
    tries,
    refusal,
  }: {
    readonly now: EpochMs;
    readonly monoMs: MonoMs;
    readonly tries: Tries;
    /** The broker refuses the link: its answer to a renewal says why. */
    readonly refusal: Problem | null;
  },
): boolean => (refusal !== null || lifeStateOf(life, now) !== 'good') && monoMs >= tries.nextAtMs;

/**
 * The next try after one that failed.
 * @param random uniform in [0, 1)
 */
export function afterFailure(
  life: CertificateLife,
  failure: { readonly code: string; readonly now: EpochMs; readonly monoMs: MonoMs },
  { failed, random }: { readonly failed: number; readonly random: number },
): Tries {
  const { code, now, monoMs } = failure;
  const most = Math.min(LIMITS.renewRetryMsMax, spanOf(life) * TRIES.most);
  const least = Math.min(LIMITS.renewRetryMsMin, spanOf(life) * TRIES.first);
  // The clock here is wrong, which no other try changes; it may be set at any time.
  const isClock = code === 'CERTIFICATE_NOT_DUE' || lifeStateOf(life, now) === 'not_begun';
  const waitMs = isClock
    ? most + random * most
    : backoffMs(failed, { minMs: least, maxMs: most }, random);
  return { failed: failed + 1, nextAtMs: monoMs + waitMs };
}

/** A certificate, and what became of the last try to renew it. */
export interface CertificateFacts {
  readonly life: CertificateLife;
  /** False for one that was made by hand. */
  readonly renews: boolean;
  /** Why the last try to renew it failed; null when it did not. */
  readonly failure: Problem | null;
  /** The broker does not take it: why the last link was refused; else null. */
  readonly refusal: Problem | null;
}

/** Answers to a renewal that say why the broker does not take the certificate. */
export const SAID_OF_IT: readonly ErrorCode[] = [
  'CERTIFICATE_UNKNOWN',
  'CERTIFICATE_FOREIGN',
  'CERTIFICATE_TOO_OLD',
];

/** A problem that a person should know; null while there is none. */
export function certificateProblem(
  { life, renews, failure, refusal }: CertificateFacts,
  now: EpochMs,
): DroverError | null {
  const { notBefore, notAfter } = life;
  // The clock here may be wrong; what the broker says counts.
  if (refusal && failure && SAID_OF_IT.includes(failure.code)) {
    const { code, message } = failure;
    return new DroverError(code, `check certificate: the broker does not take it: ${message}`);
  }
  const because = failure === null ? '' : `; it was not renewed: ${failure.message}`;
  switch (lifeStateOf(life, now)) {
    case 'not_begun': {
      const why = `the clock of this robot says ${instantText(now)}, it begins at ${instantText(notBefore)}`;
      return new DroverError('CERTIFICATE_CLOCK', `check certificate: ${why}${because}`);
    }
    case 'expired': {
      const why = `it ended at ${instantText(notAfter)}, the clock of this robot says ${instantText(now)}`;
      return new DroverError('CERTIFICATE_EXPIRED', `check certificate: ${why}${because}`);
    }
    default: {
      const noticeAt = renews
        ? notBefore + spanOf(life) * EXPIRING_AFTER
        : notAfter - LIMITS.certificateNoticeMs;
      if (now < noticeAt || (renews && failure === null)) return null;
      const how = renews ? because : '; it was made by hand';
      const why = `it ends in ${timeLeft(notAfter - now)}, at ${instantText(notAfter)}${how}`;
      return new DroverError('CERTIFICATE_EXPIRING', `check certificate: ${why}`);
    }
  }
}

/** As `drover-robot status` shows it. */
export interface OwnCertificate {
  readonly expires_at: string;
  /** Negative once it has ended, by the clock of this robot. */
  readonly days_left: number;
  /** True when this robot renews it by itself. */
  readonly renews: boolean;
  readonly problem: Problem | null;
}

export function showCertificate(facts: CertificateFacts, now: EpochMs): OwnCertificate {
  const { life, renews } = facts;
  const problem = certificateProblem(facts, now);
  return {
    ...{ expires_at: instantText(life.notAfter), days_left: daysUntil(life.notAfter, now), renews },
    problem: problem && toProblem(problem),
  };
}

/** When it ends, for reports: only while that is close or over, and nothing is done about it. */
export function endingOf(view: OwnCertificate | null | undefined): EpochMs | null {
  const code = view?.problem?.code ?? 'CERTIFICATE_CLOCK';
  return view && code !== 'CERTIFICATE_CLOCK' ? Date.parse(view.expires_at) : null;
}
