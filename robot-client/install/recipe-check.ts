/**
 * Decides by the recipe of a release whether its files can be those that were unpacked. A recipe
 * names each file with bytes, its size and its mode, and no hash. A file that is missing, shorter,
 * or no longer readable or executable is damage; a longer one is the application's (a log, a
 * database), unless it is a program. Byte code of Python is left out, as in a seal. Sans-I/O.
 */

import { isByteCode } from '../../shared/rules/byte-code.ts';
import type { PathStat } from './disk-port.ts';
import { isProgramMode, lostRights } from './seal.ts';

/** A file with bytes, as the tar had it. */
export interface RecipeEntry {
  readonly path: string;
  readonly bytes: number;
  /** Permission bits. */
  readonly mode: number;
}

/** Why the file cannot be what was unpacked; null when it can. */
export function wrongByRecipe(
  want: RecipeEntry,
  found: PathStat,
  { isOnlyLost }: { readonly isOnlyLost: boolean },
): string | null {
  if (isByteCode(want.path)) return null;
  const { kind, bytes, mode } = found;
  if (kind !== 'file') return `got ${kind}, want a file`;
  const lost = lostRights(want.mode, mode);
  if (lost !== null) return lost;
  const isProgram = isProgramMode(want.mode);
  if (bytes === want.bytes || (isOnlyLost && bytes > 0 && !isProgram)) return null;
  const isLonger = bytes > want.bytes;
  return isLonger && !isProgram ? null : `got ${bytes} bytes, want ${want.bytes}`;
}

export const TAR_HEADER_BYTES = 512;
const [MODE_AT, MAGIC_AT, FIELD_BYTES] = [100, 257, 8];

/** Permission bits of a tar header of 512 bytes; 0, which requires nothing, when it is none. */
export function modeOfHeader(header: Uint8Array): number {
  const text = (at: number, bytes: number): string =>
    new TextDecoder('latin1').decode(header.subarray(at, at + bytes));
  const isHeader = header.byteLength === TAR_HEADER_BYTES && text(MAGIC_AT, 5) === 'ustar';
  const octal = /^[ 0]*([0-7]+)[\0 ]/.exec(text(MODE_AT, FIELD_BYTES))?.[1];
  return isHeader && octal !== undefined ? Number.parseInt(octal, 8) & 0o777 : 0;
}
