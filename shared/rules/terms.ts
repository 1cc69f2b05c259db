/**
 * Bounds of the numbers that honest documents have at an instant: the `seq` of an announcement is
 * the second in which it was made, or one more than the one before it; the `seq` of progress begins
 * with the term of the lease, and terms rise with each change of leader. Sans-I/O.
 */

import type { EpochMs } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

/** No fleet of Drover is older: a clock that shows less is wrong. */
export const FIRST_DAY: EpochMs = Date.UTC(2026, 0, 1);

/**
 * More terms than any fleet had at this time: as if the leader had changed every `leaseRestoreMs`
 * since the first fleet. A restored store also continues from here.
 */
export const termAt = (now: EpochMs): number =>
  Math.min(
    Math.max(Math.floor((now - FIRST_DAY) / LIMITS.leaseRestoreMs), 0),
    LIMITS.leaseTermMax / 2,
  );

/** `lease`: its term. */
export type SeqKind = 'announcement' | 'progress' | 'lease';

/** The highest `seq` of a document that was made at this instant. */
export function seqAt(kind: SeqKind, at: EpochMs): number {
  if (kind === 'announcement') return Math.floor(at / 1000);
  const term = termAt(at) + 1;
  return kind === 'lease' ? term : (term + 1) * LIMITS.seqsPerTerm;
}
