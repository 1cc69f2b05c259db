/**
 * Compares the clock of this broker with the times in the reports of robots. A broker whose clock
 * is days off opens waves that robots refuse, and nothing else would show it. Sans-I/O.
 */

import { DAY_MS, formatDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/**
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
