/**
 * Decides when an announcement is close enough to its end that an operator has to know: the
 * broker and `drover doctor` both report it. Sans-I/O.
 */

import type { EpochMs } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

/** True in the last quarter of its lifetime, of a long one in the last `announcementNoticeMs`. */
export function isAnnouncementEnding(
  { issued_at: issued, expires_at: expires }: { issued_at: EpochMs; expires_at: EpochMs },
  now: EpochMs,
): boolean {
  return expires - now <= Math.min((expires - issued) / 4, LIMITS.announcementNoticeMs);
}
