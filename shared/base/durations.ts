/**
 * Spans of time as people write them on a command line: a number and a unit. A bare number is
 * refused, because `--soak 30` means half a minute to one reader and half an hour to the next.
 * Also the one form of an instant that people and scripts read. Sans-I/O.
 */

import { countOf } from './printable.ts';
import { DroverError } from './errors.ts';

/** Milliseconds. */
export const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: MINUTE_MS,
  h: HOUR_MS,
  d: DAY_MS,
  w: 604_800_000,
};
const PATTERN = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d|w)$/;

/**
 * @param text `500ms`, `60s`, `30m`, `1.5h`, `365d`, `4w`, or `0`
 * @returns whole milliseconds
 * @throws DroverError USAGE
 */
export function parseDurationMs(text: string): number {
  if (text === '0') return 0;
  const [, number, unit] = PATTERN.exec(text) ?? [];
  const unitMs = unit === undefined ? undefined : UNITS_MS[unit];
  if (number !== undefined && unitMs !== undefined) return Math.round(Number(number) * unitMs);
  throw new DroverError(
    'USAGE',
    `read duration: not a number with a unit (got ${JSON.stringify(text.slice(0, 40))}, want for example 60s, 30m, 12h or 365d)`,
  );
}

/** The largest unit that divides the span: `90000` is `90s`, `1800000` is `30m`. */
export function formatDurationMs(spanMs: number): string {
  if (spanMs === 0) return '0';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const unitMs = UNITS_MS[unit] as number;
    if (spanMs % unitMs === 0) return `${spanMs / unitMs}${unit}`;
  }
  return `${Math.round(spanMs)}ms`;
}

/** Time until something comes: seconds while they are few, then as `timeLeft`. */
export const shortly = (leftMs: number): string =>
  leftMs < 120_000 ? `${Math.max(0, Math.round(leftMs / 1000))} s` : timeLeft(leftMs);

/** Whole days; a span that lacks less than an hour of a day has that day, as 30 days just begun. */
export const wholeDays = (spanMs: number): number => Math.floor((spanMs + HOUR_MS) / DAY_MS);

/** Time until an end, as people read it: `71 days`, and hours or minutes once there is less. */
export function timeLeft(leftMs: number): string {
  const [days, hours] = [wholeDays(leftMs), Math.floor((leftMs + MINUTE_MS) / HOUR_MS)];
  const minutes = Math.max(0, Math.round(leftMs / MINUTE_MS));
  const [count, unit] =
    days >= 2 ? [days, 'day'] : hours >= 2 ? [hours, 'hour'] : [minutes, 'minute'];
  return countOf(count, unit);
}

/**
 * An instant as every table, sentence and answer shows it: RFC 3339 in UTC to the second, such as
 * `2026-11-30T09:27:06Z`. Documents that are signed keep their milliseconds.
 * @param ms since the epoch, of which a part of a second is dropped
 */
export const instantText = (ms: number): string => `${new Date(ms).toISOString().slice(0, -5)}Z`;

/**
 * Writes each instant in a parsed document as text: a parser makes epoch milliseconds of the fields
 * `at` and `…_at`.
 */
export function withInstants(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withInstants);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([name, one]): [string, unknown] => {
    const isInstant = name === 'at' || name.endsWith('_at');
    return [name, isInstant && typeof one === 'number' ? instantText(one) : withInstants(one)];
  });
  return Object.fromEntries(fields);
}

/** The same form of an instant that came as text; a text that is no instant stays as it is. */
export function toSecond(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || !text.endsWith('Z') ? text : instantText(ms);
}
