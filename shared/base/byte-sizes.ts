/**
 * Amounts of bytes as people write and read them. Units are powers of 1024, as disks of robots are.
 * Sans-I/O.
 */

import { DroverError } from './errors.ts';

const UNITS: readonly string[] = ['', 'k', 'm', 'g', 't'];
const PATTERN = /^(\d{1,15}(?:\.\d{1,3})?)([kmgt]?)(?:i?b)?$/i;

/**
 * @param text `262144`, `256k`, `256KiB`, `2M`, `1.5G`
 * @returns whole bytes
 * @throws DroverError USAGE
 */
export function parseByteSize(text: string): number {
  const [, number, unit] = PATTERN.exec(text) ?? [];
  const bytes = Math.round(Number(number) * 1024 ** UNITS.indexOf((unit ?? '').toLowerCase()));
  if (number !== undefined && Number.isSafeInteger(bytes)) return bytes;
  throw new DroverError(
    'USAGE',
    `read size: not an amount of bytes (got ${JSON.stringify(text.slice(0, 40))}, want for example 262144, 256k or 2M)`,
  );
}

/** Bytes per second of `--max-rate`, null for no bound. @throws DroverError USAGE */
export function parseRate(text: string | undefined): number | null {
  if (text === undefined) return null;
  const rate = parseByteSize(text);
  if (rate > 0) return rate;
  throw new DroverError('USAGE', 'read --max-rate: want more than 0 bytes per second');
}

/** `1536` is `1.5 KiB`; exact below 1 KiB. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return unit === 'B' ? `${value} B` : `${value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TiB`;
}
