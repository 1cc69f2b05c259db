/**
 * Computes how long trust.json and an announcement still hold, and the message about trust.json:
 * the same text for brokers, robots and people. The clock may be wrong, so nothing is refused here.
 * Sans-I/O.
 */

import { countOf } from '../base/printable.ts';
import { DAY_MS, instantText, timeLeft, wholeDays } from '../base/durations.ts';
import { DroverError } from '../base/errors.ts';
import type { EpochMs } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { TrustRoot } from '../formats/trust.ts';

type Life = Pick<TrustRoot, 'version' | 'expires'>;

const daysIn = (spanMs: number): number => Math.floor(spanMs / DAY_MS);

/**
 * Whole days until then, the same as in sentences; once it is over the whole days since, negative,
 * -1 on the first as well.
 */
export const daysUntil = (atMs: EpochMs, now: EpochMs): number =>
  now < atMs ? wholeDays(atMs - now) : Math.min(-1, -daysIn(now - atMs));

/** The same for something that is over, as text. */
export function endedAgo(atMs: EpochMs, now: EpochMs): string {
  const days = daysIn(now - atMs);
  if (days < 1) return 'less than a day ago';
  return `${countOf(days, 'day')} ago`;
}

export const isTrustExpired = ({ expires }: Life, now: EpochMs): boolean => now >= expires;

/** True when it should be reported: it expires soon, or has expired. */
export const isTrustEnding = ({ expires }: Life, now: EpochMs): boolean =>
  expires - now <= LIMITS.trustNoticeMs;

/** TRUST_EXPIRED or TRUST_EXPIRING; null while it has long to go. */
export function trustProblem(trust: Life, now: EpochMs): DroverError | null {
  if (!isTrustEnding(trust, now)) return null;
  const [what, at] = [`check trust.json version ${trust.version}`, instantText(trust.expires)];
  if (isTrustExpired(trust, now)) {
    return new DroverError('TRUST_EXPIRED', `${what}: expired at ${at}; robots take nothing new`);
  }
  const left = timeLeft(trust.expires - now);
  return new DroverError('TRUST_EXPIRING', `${what}: expires in ${left}, at ${at}`);
}

/** True in the last quarter of its lifetime, of a long one in the last `announcementNoticeMs`. */
export function isAnnouncementEnding(
  { issued_at: issued, expires_at: expires }: { issued_at: EpochMs; expires_at: EpochMs },
  now: EpochMs,
): boolean {
  return expires - now <= Math.min((expires - issued) / 4, LIMITS.announcementNoticeMs);
}
