/** Turns numbers, instants and phases into words. */

/** `2 min ago`, of an ISO instant. */
export function ago(instant: string | null): string {
  if (!instant) return 'not since the broker started';
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 129_600
    ? `${Math.round(seconds / 3600)} h ago`
    : `${Math.round(seconds / 86_400)} d ago`;
}

export const clockTime = (instant: string | number): string =>
  new Date(instant).toLocaleTimeString();

export const spaced = (word: string): string => word.replaceAll('_', ' ');

/** 1234.5 is `1230`, 0.01234 is `0.0123`. */
export function rounded(value: number | null): string {
  if (value === null) return 'unknown';
  return value === 0 ? '0' : String(Number(value.toPrecision(3)));
}

export const robotCount = (count: number): string => (count === 1 ? '1 robot' : `${count} robots`);
