/**
 * Finds holes in a log file of LevelDB. LevelDB itself skips a record whose checksum does not fit,
 * with the rest of its block, and reports nothing. A torn end comes from a power cut; a broken
 * record with a whole one behind it is damage. Sans-I/O.
 */

import { crc32c, maskedCrc } from './table-check.ts';

const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7; // checksum, length, type
const LAST_TYPE = 4;
/** After a power cut, sectors that the disk had not written read as zeroes. */
const SECTOR_BYTES = 512;

/** @param log a whole file `*.log` */
export function hasHole(log: Uint8Array): boolean {
  const at = startOf(recordsEnd(log));
  if (at + HEADER_BYTES > log.length) return false;
  const next = nextRecord(log, viewOf(log), at + 1);
  return next !== null && !hasUnwritten(log.subarray(at, next));
}

/** The first byte behind the records that are whole one after the other from the beginning. */
export function recordsEnd(log: Uint8Array): number {
  const view = viewOf(log);
  for (let whole = 0; ;) {
    const at = startOf(whole);
    const end = at + HEADER_BYTES > log.length ? null : recordEnd(log, view, at);
    if (end === null) return whole;
    whole = end;
  }
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

/** Skips the end of a block that is too short for a header. */
function startOf(at: number): number {
  const left = BLOCK_BYTES - (at % BLOCK_BYTES);
  return left < HEADER_BYTES ? at + left : at;
}

/** The first byte behind the record that begins here; null when none does. */
function recordEnd(log: Uint8Array, view: DataView, at: number): number | null {
  const type = log[at + 6] ?? 0;
  if (type === 0 || type > LAST_TYPE) return null;
  const end = at + HEADER_BYTES + view.getUint16(at + 4, true);
  if (end > log.length || end > at - (at % BLOCK_BYTES) + BLOCK_BYTES) return null;
  const stored = view.getUint32(at, true);
  return stored === maskedCrc(crc32c(log.subarray(at + 6, end))) ? end : null;
}

/** Anywhere in the rest of the block; every block behind it begins with a record. */
function nextRecord(log: Uint8Array, view: DataView, from: number): number | null {
  const firstEnd = from - (from % BLOCK_BYTES) + BLOCK_BYTES;
  for (let at = from; at + HEADER_BYTES <= log.length;) {
    if (recordEnd(log, view, at) !== null) return at;
    at = at + 1 < firstEnd ? at + 1 : at - (at % BLOCK_BYTES) + BLOCK_BYTES;
  }
  return null;
}

function hasUnwritten(bytes: Uint8Array): boolean {
  let zeroes = 0;
  for (const byte of bytes) {
    zeroes = byte === 0 ? zeroes + 1 : 0;
    if (zeroes >= SECTOR_BYTES) return true;
  }
  return false;
}
