/**
 * Encodes and parses the environment block of GRUB: 1024 bytes, lines of `name=value` after a first
 * line, filled up with `#`. GRUB overwrites the block in place, in two sectors, and the block has
 * no checksum. So the mark is stored in it twice, once in each sector, and is valid only when both
 * are equal.
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
  const text = new TextDecoder('latin1').decode(bytes);
  if (!text.startsWith(FIRST_LINE)) return null;
  const value = (name: string): string | undefined =>
    new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1];
  const [first, second] = [value(FIRST), value(SECOND)];
  return first !== undefined && first === second ? parseMark(first) : null;
}

/** Returns the first valid copy, in the same order as the script of GRUB. */
export function chooseCopy(copies: readonly (Uint8Array | null)[]): BootMark | null {
  for (const copy of copies) {
    const mark = copy === null ? null : parseGrubEnv(copy);
    if (mark !== null) return mark;
  }
  return null;
}
