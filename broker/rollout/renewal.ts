/**
 * Decides when what is announced has to be announced again, and how: the same rollouts to the
 * letter, the next `seq`, the same length of life. Sans-I/O.
 *
 * It never announces what has expired, and takes only `seq` + 1: whatever a publisher has announced
 * in the meantime has a higher one as a rule, and where it has the same, the first one stands. So a
 * rollout that was withdrawn cannot come back through a renewal.
 */

import type { Announcement, AnnouncementFields } from '../../shared/formats/announcement.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

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
