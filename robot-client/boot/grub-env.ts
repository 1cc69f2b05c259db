/**
 * The environment block of GRUB as bytes: 1024 of them, lines of `name=value` behind a first line,
 * filled up with `#`. GRUB writes over it where it lies, in two sectors, and it has no checksum; so
 * a mark stands in it twice, once in each sector, and counts only when both say the same.
 *
 * The program grub-editenv makes the file empty before it writes it: a power cut between the two
 * would leave nothing. So a block is made here, and grub-editenv can read it.
 * Sans-I/O.
 */

import { encodeMark, parseMark, type BootMark } from './boot-mark.ts';

export const GRUB_ENV_BYTES = 1024;
/** One of our blocks lies in two of these. */
const SECTOR_BYTES = 512;
const FIRST_LINE = '# GRUB Environment Block\n';
/** As a comment it is no variable: `grub-editenv FILE list` does not show it. */
const NOTE = '# Drover: which slot boots. Change it with drover-robot slots.\n';

const FIRST = 'drover_boot';
const SECOND = 'drover_boot_again';

export function encodeGrubEnv(mark: BootMark): Uint8Array {
  const first = `${FIRST_LINE}${NOTE}${FIRST}=${encodeMark(mark)}\n`;
  const filled = `${first.padEnd(SECTOR_BYTES - 1, '#')}\n`;
  const text = `${filled}${SECOND}=${encodeMark(mark)}\n`.padEnd(GRUB_ENV_BYTES, '#');
  return new TextEncoder().encode(text);
}

/** Null for a block that is torn, damaged or none of ours. */
export function parseGrubEnv(bytes: Uint8Array): BootMark | null {
  if (bytes.byteLength !== GRUB_ENV_BYTES) return null;
  const text = new TextDecoder('latin1').decode(bytes);
  if (!text.startsWith(FIRST_LINE)) return null;
  const value = (name: string): string | undefined =>
    new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1];
  const [first, second] = [value(FIRST), value(SECOND)];
  return first !== undefined && first === second ? parseMark(first) : null;
}

/** As GRUB's script reads: the first copy that is whole. */
export function chooseCopy(copies: readonly (Uint8Array | null)[]): BootMark | null {
  for (const copy of copies) {
    const mark = copy === null ? null : parseGrubEnv(copy);
    if (mark !== null) return mark;
  }
  return null;
}
