/**
 * Tells that the clock of one robot is far off the clock of who hears its report. Such a robot may
 * refuse signed documents as expired or as from the future, and says only that. Sans-I/O.
 */

import { DAY_MS, formatDurationMs } from '../base/durations.ts';
import { toProblem, DroverError, type Problem } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/** @param aheadMs its clock less ours when it was last heard; null: not known */
export function robotClockProblem(robot: string, aheadMs: number | null): Problem | null {
  if (aheadMs === null || Math.abs(aheadMs) <= LIMITS.aheadMsMax) return null;
  const days = formatDurationMs(Math.max(1, Math.round(Math.abs(aheadMs) / DAY_MS)) * DAY_MS);
  const which = aheadMs > 0 ? 'ahead of' : 'behind';
  const message = `check the clock of ${robot}: it is ${days} ${which} the one here`;
  return toProblem(new DroverError('ROBOT_CLOCK_OFF', message));
}

/**
 * The clock of a robot less ours, as far as a report can tell. One from the future always does; an
 * old one says nothing of a robot that is away, and of one behind a relay, whose link to us may
 * have been away, only when it is older than any such absence.
 */
export function clockAhead(
  aheadMs: number | undefined,
  { online, via }: { readonly online: boolean; readonly via: string | null },
): number | null {
  if (aheadMs === undefined) return null;
  const isFresh = via === null || -aheadMs > LIMITS.relayAwayMsMax;
  const isTold = aheadMs > 0 || (online && isFresh);
  return isTold ? aheadMs : null;
}
