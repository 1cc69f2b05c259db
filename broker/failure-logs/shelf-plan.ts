/**
 * Decides which logs of failed updates a broker removes when another one comes: those of the same
 * component, those that are too old, and the oldest of all while there are too many bytes. One
 * robot has one log for each component, and only so many components, so that a robot that sends
 * without end takes the place of its own logs before that of others. Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import type { FailureHeadFields } from '../../shared/formats/failure-log.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export interface ShelfEntry {
  readonly robot: RobotId;
  readonly head: FailureHeadFields;
  readonly bytes: number;
  readonly receivedMs: EpochMs;
}

/**
 * @param entries that are stored
 * @param coming the log that is to be stored
 * @returns the entries to remove before it is
 */
export function planShelf(
  entries: readonly ShelfEntry[],
  coming: ShelfEntry,
  now: EpochMs,
): ShelfEntry[] {
  const removed = new Set(entries.filter((one) => isReplaced(one, coming) || isOld(one, now)));
  const stay = entries.filter((one) => !removed.has(one)).sort(byAge);
  const own = stay.filter(({ robot }) => robot === coming.robot);
  const tooMany = own.length - (LIMITS.setMembersMax - 1);
  for (const one of own.slice(0, Math.max(0, tooMany))) removed.add(one);
  let bytes = stay.reduce((sum, one) => sum + (removed.has(one) ? 0 : one.bytes), coming.bytes);
  for (const one of stay) {
    if (bytes <= LIMITS.failureLogsBytesMax) break;
    if (removed.has(one)) continue;
    removed.add(one);
    bytes -= one.bytes;
  }
  return [...removed];
}

const isReplaced = (one: ShelfEntry, coming: ShelfEntry): boolean =>
  one.robot === coming.robot && one.head.component === coming.head.component;

/** A clock that was set back makes none older. */
const isOld = ({ receivedMs }: ShelfEntry, now: EpochMs): boolean =>
  now - receivedMs > LIMITS.failureLogAgeMsMax;

const byAge = (a: ShelfEntry, b: ShelfEntry): number => a.receivedMs - b.receivedMs;
