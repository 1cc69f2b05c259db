/**
 * Computes how long trust.json and what is announced still hold, and what a person should do about
 * it. Sans-I/O. The clock of this machine may be wrong, so nothing is refused on its account here.
 */

import { timeLeft } from '../../shared/base/durations.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Announcement, AnnouncementFields } from '../../shared/formats/announcement.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { daysUntil, trustProblem } from '../../shared/rules/trust-life.ts';

export interface ExpiryFacts {
  readonly trust: Pick<TrustRoot, 'version' | 'expires'> | null;
  readonly announcement: Pick<Announcement, 'seq' | 'issued_at' | 'expires_at' | 'rollouts'> | null;
  /** A controller here announces again in time. */
  readonly renews: boolean;
  readonly now: EpochMs;
}

/** As the HTTP API shows it. */
export interface ExpiryView {
  readonly trust: (Left & { readonly version: number }) | null;
  readonly announcement: (Left & { readonly seq: number; readonly renews: boolean }) | null;
  readonly problems: readonly Problem[];
}

interface Left {
  readonly expires_at: string;
  /** Negative once it has expired. */
  readonly seconds_left: number;
  readonly days_left: number;
}

export function describeExpiry({ trust, announcement, renews, now }: ExpiryFacts): ExpiryView {
  const named = announcement && announcement.rollouts.length > 0 ? announcement : null;
  const expiring = trust && trustProblem(trust, now);
  const problems = [
    ...(expiring ? [expiring] : []),
    ...(named ? announcementProblems(named, renews, now) : []),
  ].map(toProblem);
  return {
    trust: trust && { version: trust.version, ...leftOf(trust.expires, now) },
    announcement: named && {
      seq: named.seq,
      // The controller does not announce again what has expired.
      renews: renews && now < named.expires_at,
      ...leftOf(named.expires_at, now),
    },
    problems,
  };
}

function leftOf(expiresMs: EpochMs, now: EpochMs): Left {
  const leftMs = expiresMs - now;
  return {
    expires_at: new Date(expiresMs).toISOString(),
    seconds_left: Math.floor(leftMs / 1000),
    days_left: daysUntil(expiresMs, now),
  };
}

function announcementProblems(
  { seq, issued_at: issued, expires_at: expires }: NonNullable<ExpiryFacts['announcement']>,
  renews: boolean,
  now: EpochMs,
): DroverError[] {
  const { expires_at: at, seconds_left: left } = leftOf(expires, now);
  const what = `check announcement ${seq}`;
  if (left <= 0) {
    const why = `expired at ${at}; robots take nothing from it`;
    return [new DroverError('ANNOUNCEMENT_EXPIRED', `${what}: ${why}`)];
  }
  const isClose = left * 1000 <= Math.min((expires - issued) / 4, LIMITS.announcementNoticeMs);
  if (renews || !isClose) return [];
  const why = `expires in ${timeLeft(left * 1000)}, at ${at}, and no controller here announces it again`;
  return [new DroverError('ANNOUNCEMENT_EXPIRING', `${what}: ${why}`)];
}

/**
 * Decides when what is announced has to be announced again, and how: the same rollouts to the
 * letter, the next `seq`, the same length of life.
 *
 * It never announces what has expired, and takes only `seq` + 1: whatever a publisher has announced
 * in the meantime has a higher one as a rule, and where it has the same, the first one stands. So a
 * rollout that was withdrawn cannot come back through a renewal.
 */
export interface Renewable {
  readonly announcement: Announcement;
  /** As it was written. */
  readonly written: AnnouncementFields;
}

/** True from the middle of its life on, for a long life from `renewBeforeMsMax` before its end on. */
export function isDue({ announcement }: Renewable, now: EpochMs): boolean {
  const { issued_at: issued, expires_at: expires, rollouts } = announcement;
  const lifeMs = expires - issued;
  // Expired, or a clock that is wrong: a person has to look.
  if (rollouts.length === 0 || lifeMs <= 0 || now >= expires) return false;
  return expires - now <= Math.min(lifeMs / 2, LIMITS.renewBeforeMsMax);
}

export function renewed({ announcement, written }: Renewable, now: EpochMs): AnnouncementFields {
  const { issued_at: issued, expires_at: expires, seq } = announcement;
  return {
    ...written,
    seq: seq + 1,
    issued_at: new Date(now).toISOString(),
    expires_at: new Date(now + (expires - issued)).toISOString(),
  };
}
