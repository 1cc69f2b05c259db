/**
 * The blocks of a tar for an air gap: plain files, no times, no owners, so that names and contents
 * determine the whole archive. A reader makes the expected block and compares, instead of parsing
 * it: nothing can hide in an unread field, and no entry can leave the folder. Any tar program
 * unpacks it. Sans-I/O.
 */

import { bytesEqual, utf8 } from '../../shared/crypto/bytes.ts';

export const BLOCK_BYTES = 512;
/** Two blocks of zeroes. */
export const END_BYTES = 2 * BLOCK_BYTES;
export const NAME_BYTES_MAX = 100;

const SIZE_AT = 124;
const SIZE_FIELD_BYTES = 12;
const CHECKSUM_AT = 148;
/** A larger size does not fit eleven octal digits and is written in binary, as GNU tar does. */
const OCTAL_MAX = 8 ** 11 - 1;
const BINARY_SIZE_MARK = 0x80;

/** Zeroes that fill the last block of a file. */
export const paddingOf = (bytes: number): number =>
  (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;

/** [P-13.1] @throws TypeError for a name that does not fit */
export function tarHeader(name: string, bytes: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string): void => block.set(utf8(text), at);
  if (utf8(name).byteLength > NAME_BYTES_MAX) throw new TypeError(`tarHeader: ${name} is too long`);
  put(0, name);
  put(100, '0000644\0');
  put(108, '0000000\0');
  put(116, '0000000\0');
  block.set(sizeField(bytes), SIZE_AT);
  put(136, '00000000000\0');
  put(CHECKSUM_AT, ' '.repeat(8)); // its own field counts as blanks in the sum
  put(156, '0');
  put(257, 'ustar\x0000');
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(CHECKSUM_AT, `${octal(sum, 6)}\0 `);
  return block;
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');

function sizeField(bytes: number): Uint8Array {
  if (bytes <= OCTAL_MAX) return utf8(`${octal(bytes, 11)}\0`);
  const field = new Uint8Array(SIZE_FIELD_BYTES);
  let rest = bytes;
  for (let at = SIZE_FIELD_BYTES - 1; rest > 0; at -= 1) {
    field[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  field[0] = BINARY_SIZE_MARK;
  return field;
}

/** The size in a block that is exactly the header of this file; null for any other block. */
export function sizeInHeader(block: Uint8Array, name: string): number | null {
  const digits = new TextDecoder('latin1').decode(block.subarray(SIZE_AT, SIZE_AT + 11));
  if (!/^[0-7]{11}$/.test(digits)) return null;
  const bytes = Number.parseInt(digits, 8);
  return bytesEqual(block, tarHeader(name, bytes)) ? bytes : null;
}
