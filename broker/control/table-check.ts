/**
 * Checks the tables of a LevelDB by their checksums. LevelDB does not, as we open it: it passes
 * changed values on, and some damages end the whole process in its C++ code (SIGABRT).
 * The blocks of a table stand one after another from its first byte on, each followed by its type
 * and a CRC-32C, and a footer of fixed size ends it. So a block ends where the checksum matches.
 * Sans-I/O.
 */

const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5; // type of the block, checksum
const MAGIC = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
const MASK = 0xa282ead8;
const POLYNOMIAL = 0x82f63b78; // Castagnoli, reversed

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** @param table a whole file `*.ldb` or `*.sst` */
export function isWholeTable(table: Uint8Array): boolean {
  const end = table.length - FOOTER_BYTES;
  if (end < 0 || !MAGIC.every((byte, at) => table[table.length - 8 + at] === byte)) return false;
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  let at = 0;
  while (at < end) {
    const next = blockEnd(table, view, at, end);
    if (next === null) return false;
    at = next;
  }
  return at === end;
}

/** The first byte behind the block and its checksum; null when no checksum matches. */
function blockEnd(table: Uint8Array, view: DataView, from: number, end: number): number | null {
  let crc = -1;
  for (let at = from; at + TRAILER_BYTES <= end; at += 1) {
    crc = (CRC_TABLE[(crc ^ (table[at] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
    // The byte just taken would be the type; 0 is plain, 1 snappy.
    if ((table[at] ?? 0) > 1) continue;
    if (view.getUint32(at + 1, true) === maskedCrc(~crc)) return at + TRAILER_BYTES;
  }
  return null;
}

/** As LevelDB stores it: rotated by 15 bits, and a constant. */
export const maskedCrc = (crc: number): number => (((crc >>> 15) | (crc << 17)) + MASK) >>> 0;

export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc;
}
