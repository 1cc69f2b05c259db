/**
 * Decides when a rollout may start: at an instant, or at a time on the wall clock of each robot's
 * site. Robots keep it, so no controller has to be there at that moment; a controller opens no wave
 * before it, so that no soak runs while robots wait. Sans-I/O.
 */

import { instantText, shortly } from '../base/durations.ts';
import { DroverError } from '../base/errors.ts';
import type { EpochMs } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import type { Rollout, RolloutFields } from '../formats/announcement.ts';

/** `2026-12-01T22:00`: the wall clock of a site. */
export type LocalTime = (now: EpochMs) => string;

export type StartRules = Pick<Rollout, 'start_at' | 'start_local'>;

/** The wall clock that is furthest ahead of UTC (Kiribati). */
const AHEAD_MAX_MS = 14 * 3_600_000;

const utcOf = (local: string): EpochMs => Date.parse(`${local}:00Z`);
// Zones of the world are from UTC-12 to UTC+14.
const HAS_ZONE = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)$/;
export const LOCAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d$/;

/** Milliseconds until the first robot may start; 0 when it may. [P-6.12] */
export function msToFirstStart({ start_at, start_local }: StartRules, now: EpochMs): number {
  if (start_at !== undefined) return Math.max(0, start_at - now);
  if (start_local === undefined) return 0;
  return Math.max(0, utcOf(start_local) - AHEAD_MAX_MS - now);
}

/**
 * Null when a robot may start; else when, and in which words. [P-6.12]
 * @param localTime of the robot's site; UTC when it is left out
 */
export function startWait(
  { start_at, start_local }: StartRules,
  {
    now,
    localTime = utcTime,
  }: { readonly now: EpochMs; readonly localTime?: LocalTime | undefined },
): { readonly why: string; readonly untilMs: EpochMs } | null {
  if (start_at !== undefined && now < start_at) {
    return { why: `it starts at ${instantText(start_at)}`, untilMs: start_at };
  }
  if (start_local === undefined) return null;
  const local = localTime(now);
  // Times of one form are in the order of their texts.
  if (local >= start_local) return null;
  const why = `it starts at ${start_local} of this robot's wall clock, which is at ${local}`;
  // A change of daylight saving time makes this an hour wrong: it is asked again then.
  return { why, untilMs: now + utcOf(start_local) - utcOf(local) };
}

const utcTime: LocalTime = (now) => new Date(now).toISOString().slice(0, 16);

/**
 * `2026-12-01T21:00:00Z, in 35 hours (--start-at)`; null for a rollout that starts at once, or
 * whose first robot may have started.
 * @param isTimed false where equal words mean that nothing has changed
 */
export function startAwaited(
  { start_at, start_local }: StartRules,
  { now, isTimed = true }: { readonly now: EpochMs; readonly isTimed?: boolean },
): string | null {
  if (msToFirstStart({ start_at, start_local }, now) <= 0) return null;
  if (start_at === undefined) return `${start_local} of each robot's wall clock (--start-local)`;
  const left = isTimed ? `, in ${shortly(start_at - now)}` : '';
  return `${instantText(start_at)}${left} (--start-at)`;
}

/** `no robot starts before 2026-12-01T21:00:00Z`; null for a rollout that starts at once. */
export function startLine({
  start_at,
  start_local,
}: Pick<RolloutFields, 'start_at' | 'start_local'>): string | null {
  if (start_at !== undefined) return `no robot starts before ${start_at}`;
  return start_local === undefined
    ? null
    : `no robot starts before ${start_local} of its own wall clock`;
}

/**
 * @param text ISO 8601 with a zone, such as `2026-12-01T22:00+01:00`
 * @throws DroverError USAGE
 */
export function parseStartAt(text: string, now: EpochMs): string {
  const at = HAS_ZONE.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) {
    throw unread('start-at', text, 'want a time with its zone, such as 2026-12-01T22:00+01:00');
  }
  assertAhead('start-at', text, at - now);
  return instantText(at);
}

/**
 * @param text without a zone: `2026-12-01T22:00`
 * @throws DroverError USAGE
 */
export function parseStartLocal(text: string, now: EpochMs): string {
  const isDate = LOCAL_TIME.test(text) && isCalendarTime(text);
  if (!isDate) throw unread('start-local', text, 'want a time without a zone: 2026-12-01T22:00');
  // Robots of the last time zones are twelve hours behind.
  assertAhead('start-local', text, utcOf(text) + 12 * 3_600_000 - now);
  return text;
}

const isCalendarTime = (text: string): boolean => {
  const at = utcOf(text);
  return !Number.isNaN(at) && utcTime(at) === text;
};

function assertAhead(option: string, text: string, aheadMs: number): void {
  if (aheadMs > 0 && aheadMs <= LIMITS.startAheadMsMax) return;
  const days = Math.round(LIMITS.startAheadMsMax / 86_400_000);
  const want = aheadMs > 0 ? `want at most ${days} days from now` : 'want one that is to come';
  throw unread(option, text, aheadMs > 0 ? want : `it is over, ${want}`);
}

const unread = (option: string, text: string, why: string): DroverError =>
  new DroverError('USAGE', `read --${option}: ${why} (got ${printable(text, 40)})`);
