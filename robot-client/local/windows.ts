/**
 * Maintenance windows: when a robot may be taken out of service for an update. The people of the
 * site write them in the site's own time, so they are weekly and follow daylight saving time. The
 * clock's zone is a function that the caller passes in. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { LocalTime } from '../../shared/rules/start-time.ts';

/** A window that opens on each of `days` and may reach into the day after. */
export interface MaintenanceWindow {
  /** The text of the option, for messages. */
  readonly text: string;
  /** 0 is Sunday: the days on which it opens. */
  readonly days: readonly number[];
  /** Minutes after midnight. */
  readonly startMin: number;
  /** Minutes after `startMin`, 1 to 1440. */
  readonly lengthMin: number;
}

/** A time on a wall clock of the site. */
export interface WallTime {
  /** 0 is Sunday. */
  readonly day: number;
  /** Minutes after midnight. */
  readonly minute: number;
}

export type WallClock = (now: EpochMs) => WallTime;

export type WindowState =
  { readonly kind: 'open' } | { readonly kind: 'closed'; readonly opensAtMs: EpochMs };

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const DAY_MIN = 24 * 60;
const WEEK_MIN = 7 * DAY_MIN;
const MINUTE_MS = 60_000;
const PATTERN = /^(?:([a-z,-]+) )?(\d{2}):(\d{2})-(\d{2}):(\d{2})$/;

/**
 * @param text `22:00-05:00`, `sat,sun 00:00-24:00` or `mon-fri 22:00-05:00`; the days are those on
 *   which the window opens
 * @throws DroverError USAGE
 */
export function parseWindow(text: string): MaintenanceWindow {
  const clean = text.trim().toLowerCase();
  const [, days, ...times] = PATTERN.exec(clean) ?? [];
  const [fromHour = NaN, fromMin = NaN, toHour = NaN, toMin = NaN] = times.map(Number);
  const from = minuteOf(fromHour, fromMin);
  const to = minuteOf(toHour, toMin);
  if (from === null || to === null || from === DAY_MIN) throw unreadable(text, 'not a window');
  if (from === to) throw unreadable(text, 'it opens and closes at the same minute');
  const lengthMin = to > from ? to - from : to + DAY_MIN - from;
  return { text: clean, days: parseDays(days ?? 'daily', text), startMin: from, lengthMin };
}

/** 24:00 is the end of a day. */
function minuteOf(hour: number, minute: number): number | null {
  const at = hour * 60 + minute;
  return minute < 60 && at <= DAY_MIN ? at : null;
}

function parseDays(days: string, text: string): number[] {
  if (days === 'daily') return DAYS.map((_, day) => day);
  const chosen = days.split(',').flatMap((part) => {
    const [first = '', last = first, ...more] = part.split('-');
    const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
    if (from < 0 || to < 0 || more.length > 0) throw unreadable(text, `no such days: ${part}`);
    const count = ((to - from + 7) % 7) + 1;
    return Array.from({ length: count }, (_, at) => (from + at) % 7);
  });
  return [...new Set(chosen)].sort((a, b) => a - b);
}

function unreadable(text: string, why: string): DroverError {
  const got = JSON.stringify(text.slice(0, 60));
  return new DroverError(
    'USAGE',
    `read --window: ${why} (got ${got}, want for example "mon-fri 22:00-05:00" or "02:00-04:00")`,
  );
}

/** Without any window it is always open. */
export function windowState(
  windows: readonly MaintenanceWindow[],
  wallClock: WallClock,
  now: EpochMs,
): WindowState {
  if (windows.length === 0) return { kind: 'open' };
  const { day, minute } = wallClock(now);
  const inMin = Math.min(...windows.map((one) => minutesUntilOpen(one, day * DAY_MIN + minute)));
  if (inMin === 0) return { kind: 'open' };
  // A change of daylight saving time makes this an hour wrong: it is computed again later.
  const thisMinute = Math.floor(now / MINUTE_MS) * MINUTE_MS;
  return { kind: 'closed', opensAtMs: thisMinute + inMin * MINUTE_MS };
}

/** 0 while it is open. */
function minutesUntilOpen(window: MaintenanceWindow, weekMinute: number): number {
  const waits = window.days.map((day) => {
    const opensAt = day * DAY_MIN + window.startMin;
    const openForMin = (weekMinute - opensAt + WEEK_MIN) % WEEK_MIN;
    return openForMin < window.lengthMin ? 0 : WEEK_MIN - openForMin;
  });
  return Math.min(...waits);
}

/**
 * @param zone a name of the IANA database such as `Europe/Berlin`; undefined for the machine's own
 * @throws DroverError USAGE
 */
export function wallClockOf(zone: string | undefined): WallClock {
  const read = partsIn(zone, { weekday: 'short' });
  return (now) => {
    const parts = read(now);
    const day = DAYS.indexOf(parts.get('weekday')?.toLowerCase() ?? '');
    return { day, minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')) };
  };
}

/**
 * As `wallClockOf`, with the date: `2026-12-01T22:00`. Without a zone it opens no data of zones and
 * calendars, which would cost each idle agent 5 MiB.
 * @throws DroverError USAGE
 */
export function localTimeOf(zone: string | undefined): LocalTime {
  if (zone === undefined) return ownLocalTime;
  const read = partsIn(zone, { year: 'numeric', month: '2-digit', day: '2-digit' });
  return (now) => {
    const parts = read(now);
    const [year, month, day, hour, minute] = ['year', 'month', 'day', 'hour', 'minute'].map(
      (one) => parts.get(one) ?? '',
    );
    return `${year}-${month}-${day}T${hour}:${minute}`;
  };
}

/** By the zone of the machine. */
function ownLocalTime(now: EpochMs): string {
  const at = new Date(now);
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

function partsIn(
  zone: string | undefined,
  more: Intl.DateTimeFormatOptions,
): (now: EpochMs) => Map<string, string> {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      ...(zone === undefined ? {} : { timeZone: zone }),
      ...{ ...more, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
    });
  } catch {
    const got = JSON.stringify(zone?.slice(0, 60));
    const want = 'want a name such as Europe/Berlin or UTC';
    throw new DroverError('USAGE', `read --window-zone: no such time zone (got ${got}, ${want})`);
  }
  return (now) => new Map(format.formatToParts(now).map(({ type, value }) => [type, value]));
}
