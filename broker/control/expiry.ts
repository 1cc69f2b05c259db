/**
 * Computes how long trust.json and the announcement still hold, and what an operator should do
 * about it. The clock of this machine may be wrong, so nothing here is refused because of it.
 * Sans-I/O.
 */

import { timeLeft, instantText } from '../../shared/base/durations.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Announcement, AnnouncementFields } from '../../shared/formats/announcement.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { daysUntil, isAnnouncementEnding, trustProblem } from '../../shared/rules/trust-life.ts';

export interface ExpiryFacts {
  readonly trust: Pick<TrustRoot, 'version' | 'expires'> | null;
  readonly announcement: Pick<Announcement, 'seq' | 'issued_at' | 'expires_at' | 'rollouts'> | null;
  /** True when a controller here renews it in time. */
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
      // The controller does not renew an expired announcement.
      renews: renews && now < named.expires_at,
      ...leftOf(named.expires_at, now),
    },
    problems,
  };
}

function leftOf(expiresMs: EpochMs, now: EpochMs): Left {
  const leftMs = expiresMs - now;
  return {
    expires_at: instantText(expiresMs),
    seconds_left: Math.floor(leftMs / 1000),
    days_left: daysUntil(expiresMs, now),
  };
}

function announcementProblems(
  announcement: NonNullable<ExpiryFacts['announcement']>,
  renews: boolean,
  now: EpochMs,
): DroverError[] {
  const { seq, expires_at: expires } = announcement;
  const { expires_at: at, seconds_left: left } = leftOf(expires, now);
  const what = `check announcement ${seq}`;
  if (left <= 0) {
    const why = `expired at ${at}; robots take nothing from it`;
    return [new DroverError('ANNOUNCEMENT_EXPIRED', `${what}: ${why}`)];
  }
  if (renews || !isAnnouncementEnding(announcement, now)) return [];
  const why = `expires in ${timeLeft(left * 1000)}, at ${at}, and no controller here announces it again`;
  return [new DroverError('ANNOUNCEMENT_EXPIRING', `${what}: ${why}`)];
}

/**
 * Decides when and how an announcement is renewed: the same rollouts byte for byte, the next `seq`,
 * the same lifetime.
 * An expired announcement is never renewed, and the renewal takes only `seq` + 1: an announcement
 * that a publisher makes meanwhile usually has a higher one, and of two with the same `seq` the
 * first stands. So a renewal cannot bring a withdrawn rollout back.
 */
export interface Renewable {
  readonly announcement: Announcement;
  /** The fields as they were written. */
  readonly written: AnnouncementFields;
}

/**
 * True from the middle of its lifetime on; for a long one from `renewBeforeMsMax` before its end.
 */
export function isDue({ announcement }: Renewable, now: EpochMs): boolean {
  const { issued_at: issued, expires_at: expires, rollouts } = announcement;
  const lifeMs = expires - issued;
  // Expired, or a wrong clock: an operator has to look.
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
