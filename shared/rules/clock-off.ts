/**
 * Notices that a clock is far off. A robot with such a clock may refuse signed documents as expired
 * or from the future, and reports only that. A broker with one opens waves that robots refuse, and
 * nothing else would show it. Sans-I/O.
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

/**
 * Compares the clock of this broker with the times in the reports of robots.
 * Null unless most robots differ from this clock by more than a day, all in one direction.
 * @param aheadMs for each online robot: its clock minus ours, when its last report arrived
 */
export function clockProblem(aheadMs: readonly number[]): DroverError | null {
  const later = aheadMs.filter((one) => one > LIMITS.aheadMsMax);
  const earlier = aheadMs.filter((one) => one < -LIMITS.aheadMsMax);
  const off = later.length > earlier.length ? later : earlier;
  const isMost = off.length * 2 > aheadMs.length;
  if (!isMost || off.length < Math.min(LIMITS.clockWitnesses, aheadMs.length)) return null;
  const middle = Math.abs(off.toSorted((a, b) => a - b)[Math.floor(off.length / 2)] ?? 0);
  const days = formatDurationMs(Math.round(middle / DAY_MS) * DAY_MS);
  const which = off === later ? 'behind' : 'ahead of';
  const told = `it is ${days} ${which} the clocks of ${off.length} of ${aheadMs.length} robots`;
  return new DroverError('BROKER_CLOCK_OFF', `check the clock of this broker: ${told}`);
}
