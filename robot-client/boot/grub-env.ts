/**
 * Encodes and parses the environment block of GRUB: 1024 bytes, lines of `name=value` after a first
 * line, filled up with `#`. GRUB overwrites the block in place, in two sectors, and the block has
 * no checksum. So the mark is stored in it twice, once in each sector, and is valid only when both
 * are equal.
 *
 * The script of GRUB compares and matches what its `load_env` reads, so a block is read here by the
 * same rules (`grub_envblk_iterate`): a carriage return is part of a value, an empty line swallows
 * the line behind it, a backslash takes the next byte as it is, and the last of two values counts.
 *
 * The program grub-editenv empties the file before it writes: a power cut between the two would
 * lose the mark. So Drover writes the block itself, in a form that grub-editenv can read.
 * Sans-I/O.
 */

import { encodeMark, parseMark, type BootMark } from './boot-mark.ts';

export const GRUB_ENV_BYTES = 1024;
/** Bytes of one sector; a block takes two. */
const SECTOR_BYTES = 512;
const FIRST_LINE = '# GRUB Environment Block\n';
/** A comment line is no variable: `grub-editenv FILE list` does not show it. */
const NOTE = '# Drover: which slot boots. Change it with drover-robot slots.\n';

const FIRST = 'drover_boot';
const SECOND = 'drover_boot_again';

export function encodeGrubEnv(mark: BootMark): Uint8Array {
  const first = `${FIRST_LINE}${NOTE}${FIRST}=${encodeMark(mark)}\n`;
  const filled = `${first.padEnd(SECTOR_BYTES - 1, '#')}\n`;
  const text = `${filled}${SECOND}=${encodeMark(mark)}\n`.padEnd(GRUB_ENV_BYTES, '#');
  return new TextEncoder().encode(text);
}

/** Returns null for a block that is torn, damaged or not of Drover. */
export function parseGrubEnv(bytes: Uint8Array): BootMark | null {
  if (bytes.byteLength !== GRUB_ENV_BYTES) return null;
  const text = Buffer.from(bytes).toString('latin1');
  if (!text.startsWith(FIRST_LINE)) return null;
  const values = readVariables(text.slice(FIRST_LINE.length));
  const [first, second] = [values.get(FIRST), values.get(SECOND)];
  return first !== undefined && first === second ? parseMark(first) : null;
}

/** The variables behind the first line, as GRUB sets them. */
function readVariables(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (let at = 0; at < text.length;) {
    if (text[at] === '#') {
      at = endOfLine(text, at) + 1;
      continue;
    }
    const equals = text.indexOf('=', at);
    if (equals < 0) break;
    const end = endOfLine(text, equals + 1);
    if (end >= text.length) break; // a value without a line end counts for nothing
    values.set(upToZero(text.slice(at, equals)), unescaped(text.slice(equals + 1, end)));
    at = end + 1;
  }
  return values;
}

/** Where the next line end is that no backslash stands before; the length or more without one. */
function endOfLine(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1;
  return at;
}

const unescaped = (raw: string): string => upToZero(raw.replaceAll(/\\([^])/g, '$1'));

/** GRUB's strings end at a zero byte. */
function upToZero(text: string): string {
  const zero = text.indexOf('\0');
  return zero < 0 ? text : text.slice(0, zero);
}

/** Returns the first valid copy, in the same order as the script of GRUB. */
export function chooseCopy(copies: readonly (Uint8Array | null)[]): BootMark | null {
  for (const copy of copies) {
    const mark = copy === null ? null : parseGrubEnv(copy);
    if (mark !== null) return mark;
  }
  return null;
}
