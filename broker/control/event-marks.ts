/**
 * Tells a repeated event from a new one. An event has an epoch, which its robot draws at random at
 * each start, and a number that rises within it. No clock is compared: a replaced robot whose clock
 * begins in 1970, or a restored disk image, loses no event. Robots of 0.1 send no epoch; from them
 * a lower number with a later date is new. Sans-I/O.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotEvent } from '../../shared/formats/messages.ts';

/** The last event of a robot in each of its epochs. */
export interface EventMarks {
  /** Of events without an epoch: the number of the last one, and the latest date that any had. */
  readonly seq: number;
  readonly atMs: EpochMs;
  /** The epoch of the latest event is last. */
  readonly epochs: readonly (readonly [epoch: string, seq: number])[];
}

type Numbered = Pick<RobotEvent, 'event_seq' | 'event_epoch' | 'at'>;

export const NO_MARKS: EventMarks = { seq: -1, atMs: -Infinity, epochs: [] };

export function isCopy(marks: EventMarks | undefined, event: Numbered): boolean {
  if (!marks) return false;
  const { event_seq: seq, event_epoch: epoch, at } = event;
  if (epoch === '') return seq <= marks.seq && at <= marks.atMs;
  const known = marks.epochs.find(([name]) => name === epoch);
  return known !== undefined && seq <= known[1];
}

/** Call with an event that is not a repetition. */
export function mark(before: EventMarks | undefined, event: Numbered): EventMarks {
  const marks = before ?? NO_MARKS;
  const { event_seq: seq, event_epoch: epoch, at } = event;
  if (epoch === '') return { ...marks, seq, atMs: Math.max(at, marks.atMs) };
  const others = marks.epochs.filter(([name]) => name !== epoch);
  const epochs = [...others, [epoch, seq] as const].slice(-LIMITS.eventEpochsMax);
  return { ...marks, epochs };
}

/** One line of text, whose start brokers of 0.1 can read as well. */
export function encodeMarks({ seq, atMs, epochs }: EventMarks): string {
  const at = Number.isFinite(atMs) ? atMs : 0;
  return [seq, at, ...epochs.map(([epoch, last]) => `${epoch}:${last}`)].join(' ');
}

export function parseMarks(text: string): EventMarks | null {
  const [seq = '', atMs = '', ...rest] = text.split(' ');
  if (!/^-?\d+$/.test(seq) || !/^-?\d+$/.test(atMs)) return null;
  const epochs = rest.flatMap((part) => {
    const [, epoch, last] = /^([A-Za-z0-9_-]{1,32}):(\d+)$/.exec(part) ?? [];
    return epoch === undefined ? [] : [[epoch, Number(last)] as const];
  });
  return { seq: Number(seq), atMs: Number(atMs), epochs };
}
