/**
 * Notices that the clock of a robot is far off the clock that receives its report. Such a robot may
 * refuse signed documents as expired or from the future, and reports only that. Sans-I/O.
 */

import { DAY_MS, formatDurationMs } from '../base/durations.ts';
import { toProblem, DroverError, type Problem } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/** @param aheadMs its clock minus ours when its last report arrived; null when unknown */
export function robotClockProblem(robot: string, aheadMs: number | null): Problem | null {
  if (aheadMs === null || Math.abs(aheadMs) <= LIMITS.aheadMsMax) return null;
  const days = formatDurationMs(Math.max(1, Math.round(Math.abs(aheadMs) / DAY_MS)) * DAY_MS);
  const which = aheadMs > 0 ? 'ahead of' : 'behind';
  const message = `check the clock of ${robot}: it is ${days} ${which} the one here`;
  return toProblem(new DroverError('ROBOT_CLOCK_OFF', message));
}

/**
 * The clock of a robot minus ours, as far as a report shows it. A report from the future always
 * does. An old report of an offline robot shows nothing, and one through a relay, whose link may
 * have been down, only when it is older than any such pause.
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
