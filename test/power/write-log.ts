/**
 * The log of a block device in the format of dm-log-writes (of the Linux kernel), as the
 * `blklogwrites` driver of QEMU writes it, and the states that a power cut can leave of it.
 *
 * A device that loses power has everything that was written before the last FLUSH that it answered.
 * Of the writes after that any part may have arrived, in any order, and the last sectors of a write
 * may be missing. A crash state is one such choice. Pure: bytes in, plans out.
 */

export const SECTOR_BYTES = 512;

/** `WRITE_LOG_MAGIC`, little-endian. */
const MAGIC = 0x6a736677736872n;
const VERSION = 1n;
const FLAG_FLUSH = 1n;
const FLAG_DISCARD = 4n;

export interface LoggedWrite {
  readonly kind: 'write';
  /** First sector on the device. */
  readonly sector: number;
  readonly sectorCount: number;
  /** The offset of its bytes in the log. */
  readonly logOffset: number;
}

export type LogEntry = LoggedWrite | { readonly kind: 'flush' } | { readonly kind: 'discard' };

/** Reads `length` bytes at `offset` of the log; fewer at its end. */
export type ReadLog = (offset: number, length: number) => Uint8Array;

/**
 * Lists the entries of a log that may still be growing: it ends at the first header of zeros.
 *
 * @param from where an earlier call ended; entries before it are not listed again
 * @throws TypeError for bytes that are no such log
 */
export function readEntries(
  read: ReadLog,
  from = SECTOR_BYTES,
): { entries: LogEntry[]; end: number } {
  if (from === SECTOR_BYTES) checkSuperBlock(read(0, SECTOR_BYTES));
  const entries: LogEntry[] = [];
  let at = from;
  for (;;) {
    const header = read(at, SECTOR_BYTES);
    if (header.byteLength < 32) return { entries, end: at };
    const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
    const [sector, count, flags] = [0, 8, 16].map((field) => view.getBigUint64(field, true));
    if (sector === undefined || count === undefined || flags === undefined) break;
    if (count === 0n && flags === 0n) break;
    at += SECTOR_BYTES;
    if ((flags & FLAG_DISCARD) !== 0n) {
      entries.push({ kind: 'discard' });
      continue; // its header stands alone
    }
    const sectorCount = Number(count);
    if (sectorCount > 0) {
      entries.push({ kind: 'write', sector: Number(sector), sectorCount, logOffset: at });
      at += sectorCount * SECTOR_BYTES;
    }
    // A FLUSH comes before the bytes of the same entry; `blklogwrites` gives it an entry of its own.
    if ((flags & FLAG_FLUSH) !== 0n) entries.push({ kind: 'flush' });
  }
  return { entries, end: at };
}

function checkSuperBlock(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const seen = bytes.byteLength < 28 ? null : [0, 8].map((at) => view.getBigUint64(at, true));
  if (seen?.[0] !== MAGIC || seen[1] !== VERSION)
    throw new TypeError(`not a write log (got ${String(seen)}, want ${MAGIC}, ${VERSION})`);
  if (view.getUint32(24, true) !== SECTOR_BYTES)
    throw new TypeError(`sectors of ${view.getUint32(24, true)} bytes (want ${SECTOR_BYTES})`);
}

/** The part of a pending write that arrives: `sectorCount` sectors from `fromSector` on. */
export interface Arrival {
  readonly entry: number;
  readonly fromSector: number;
  readonly sectorCount: number;
}

export interface CrashState {
  /** All writes before this entry are on the device: it is a FLUSH. */
  readonly flush: number;
  /** The entry before which the power went: the next FLUSH, or the end of the log. */
  readonly until: number;
  /** Of the writes between, those that arrive, in the order of the log. */
  readonly arrivals: readonly Arrival[];
  readonly tornCount: number;
}

export interface CrashOptions {
  /** A write is torn only at multiples of so many sectors. */
  readonly tearSectors: number;
}

/** The shares of the pending writes that arrive: from none to all. */
const SHARES = [0, 0.2, 0.5, 0.8, 1];
/** Of those that arrive, so many are torn. */
const TORN = 0.2;

/** The FLUSHes from entry `from` on, each of which ends what was certain before it. */
export function flushesFrom(entries: readonly LogEntry[], from: number): number[] {
  return entries.flatMap(({ kind }, at) => (kind === 'flush' && at >= from ? [at] : []));
}

/**
 * One state that a power cut after `flush` and before the next FLUSH can leave.
 *
 * @param random gives numbers from 0 to below 1
 */
export function planCrash(
  entries: readonly LogEntry[],
  flush: number,
  random: () => number,
  { tearSectors }: CrashOptions,
): CrashState {
  const share = SHARES[Math.floor(random() * SHARES.length)] ?? 1;
  const arrivals: Arrival[] = [];
  let tornCount = 0;
  let until = flush + 1;
  for (; until < entries.length; until += 1) {
    const entry = entries[until];
    if (entry === undefined || entry.kind === 'flush') break;
    if (entry.kind === 'discard' || random() >= share) continue;
    const units = Math.floor((entry.sectorCount - 1) / tearSectors);
    let [fromSector, sectorCount] = [0, entry.sectorCount];
    if (units > 0 && random() < TORN) {
      const cut = (1 + Math.floor(random() * units)) * tearSectors;
      // A device may write the end of a request first.
      if (random() < 0.5) sectorCount = cut;
      else [fromSector, sectorCount] = [cut, entry.sectorCount - cut];
      tornCount += 1;
    }
    arrivals.push({ entry: until, fromSector, sectorCount });
  }
  return { flush, until, arrivals, tornCount };
}

/** So many of `flushes`, one from each of as many equal parts. */
export function spreadFlushes(
  flushes: readonly number[],
  count: number,
  random: () => number,
): number[] {
  if (flushes.length === 0) return [];
  return Array.from({ length: count }, (_, at) => {
    const place = Math.floor(((at + random()) * flushes.length) / count);
    return flushes[Math.min(place, flushes.length - 1)] ?? 0;
  });
}
