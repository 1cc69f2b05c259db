/**
 * A file that may consist of several parts (`NAME.001`, `NAME.002`, …), because the file system of
 * the stick takes none of 4 GiB. It is written under a temporary name and renamed when all of it is
 * on the disk, and read by position as one file. It does not interpret the content.
 */

import { existsSync } from 'node:fs';
import { open, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { errnoOf, wordsOfErrno } from '../../shared/base/errno.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { syncFolder } from '../../shared/io/atomic-file.ts';
import { removedOnSignal } from '../../shared/io/leftovers.ts';
import { LIMITS } from '../../shared/base/limits.ts';

const partPath = (path: string, at: number): string => `${path}.${String(at).padStart(3, '0')}`;
/** `f_type` of FAT12 to FAT32. */
const FAT_MAGIC = 0x4d44;

/** Refuses what cannot fit before a byte is written. @throws DroverError DISK_FULL, FILE_TOO_LARGE,
 * FILE_EXISTS, FILE_UNREADABLE */
export async function assertDiskRoom(
  out: string,
  bytes: number,
  split: number | null,
): Promise<void> {
  const parts = Math.ceil(bytes / (split ?? bytes));
  if (parts > LIMITS.parcelPartsMax) {
    const why = `too many parts (got ${parts}, want at most ${LIMITS.parcelPartsMax})`;
    throw new DroverError('USAGE', `read --split: ${why}`);
  }
  // One more than are written: a part of another file behind the last would be read with them.
  const names = Array.from({ length: parts + 1 }, (_, at) => partPath(out, at + 1));
  for (const path of [out, ...names]) {
    if (existsSync(path))
      throw new DroverError('FILE_EXISTS', `write ${path}: it is there already`);
  }
  const disk = await statfs(dirname(out)).catch((cause: unknown) => {
    throw writeFailure(out, cause);
  });
  const free = disk.bavail * disk.bsize;
  if (free < bytes) {
    const sizes = `got ${formatBytes(free)} free, want ${formatBytes(bytes)}`;
    throw new DroverError('DISK_FULL', `write ${out}: the disk is too small (${sizes})`);
  }
  if (disk.type !== FAT_MAGIC || Math.min(bytes, split ?? bytes) <= LIMITS.fatFileBytesMax) return;
  const size = `got ${formatBytes(bytes)}, want less than 4 GiB`;
  throw new DroverError('FILE_TOO_LARGE', `write ${out}: the disk is formatted as FAT (${size})`);
}

/** Gives an error of the disk our code; any other error stays as it is. */
export function writeFailure(path: string, cause: unknown): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  if (cause instanceof DroverError || typeof code !== 'string') return cause;
  const message = `write ${path}: ${wordsOfErrno(cause)}`;
  if (code === 'EFBIG') return new DroverError('FILE_TOO_LARGE', message, { cause });
  const isFull = ['ENOSPC', 'EDQUOT'].includes(errnoOf(cause));
  return new DroverError(isFull ? 'DISK_FULL' : 'FILE_UNREADABLE', message, { cause });
}

export class PartsWriter {
  readonly #out: string;
  readonly #split: number | null;
  /** Temporary name and final name of each part. */
  readonly #parts: { beside: string; path: string; keep: () => void }[] = [];
  #handle: FileHandle | null = null;
  #partBytes = 0;

  /** @param split largest size of a part in bytes; null for one file */
  constructor(out: string, split: number | null) {
    this.#out = out;
    this.#split = split;
  }

  /** @throws DroverError DISK_FULL, FILE_TOO_LARGE, FILE_UNREADABLE */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.byteLength;) {
        if (this.#handle === null || this.#partBytes === this.#split) await this.#next();
        const room = (this.#split ?? Infinity) - this.#partBytes;
        const step = Math.min(room, bytes.byteLength - at);
        await writeAll(this.#handle as unknown as FileHandle, bytes.subarray(at, at + step));
        this.#partBytes += step;
        at += step;
      }
    } catch (cause) {
      throw writeFailure(this.#out, cause);
    }
  }

  async #next(): Promise<void> {
    await this.#endPart();
    const path = this.#split === null ? this.#out : partPath(this.#out, this.#parts.length + 1);
    const beside = `${path}.tmp`; // always the same, so that a later run overwrites a leftover
    this.#parts.push({ beside, path, keep: removedOnSignal(beside) });
    this.#handle = await open(beside, 'w', 0o644);
    this.#partBytes = 0;
  }

  async #endPart(): Promise<void> {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** When it resolves everything is on the disk under its name. @returns the names */
  async finish(): Promise<string[]> {
    try {
      await this.#endPart();
      for (const { beside, path, keep } of this.#parts) {
        await rename(beside, path);
        keep();
      }
      await syncFolder(dirname(this.#out));
    } catch (cause) {
      throw writeFailure(this.#out, cause);
    }
    return this.#parts.map(({ path }) => path);
  }

  /** Removes everything that this wrote; files from before are not touched. */
  async abort(): Promise<void> {
    await this.#handle?.close().catch(() => undefined); // its failure is being thrown already
    this.#handle = null;
    for (const { beside, keep } of this.#parts) {
      await rm(beside, { force: true });
      keep();
    }
  }
}

/** One write(2) may take less than all. */
async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.byteLength - at, null);
    at += bytesWritten;
  }
}

/** The file itself, or its parts in sequence. */
function namesOf(path: string): string[] {
  const stem = path.replace(/\.001$/, '');
  if (stem === path && existsSync(path)) return [path];
  const all = Array.from({ length: LIMITS.parcelPartsMax }, (_, at) => partPath(stem, at + 1));
  const missing = all.findIndex((part) => !existsSync(part));
  return missing === 0 ? [path] : all.slice(0, missing === -1 ? all.length : missing);
}

/** A later part alone looks like a damaged file. @throws DroverError FILE_UNREADABLE */
function assertFirstPart(path: string): void {
  const first = path.replace(/\.(?!001$)\d{3}$/, '.001');
  if (first === path || !existsSync(path)) return;
  throw new DroverError('FILE_UNREADABLE', `open ${path}: it is not the first part`, {
    hint: `name the first part: ${shellWord(first)}; the others are read from beside it`,
  });
}

interface Part {
  readonly handle: FileHandle;
  readonly start: number;
  readonly bytes: number;
}

/** [P-13.3] */
export class PartsReader {
  readonly #parts: readonly Part[];
  readonly path: string;
  readonly bytes: number;

  private constructor(path: string, parts: readonly Part[]) {
    this.path = path;
    this.#parts = parts;
    this.bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  }

  /** Wraps an open file, and closes it in the end. */
  static of(path: string, handle: FileHandle, bytes: number): PartsReader {
    return new PartsReader(path, [{ handle, start: 0, bytes }]);
  }

  /** @param path of the file, of its first part, or without `.001` @throws DroverError
   * FILE_UNREADABLE */
  static async open(path: string): Promise<PartsReader> {
    assertFirstPart(path);
    const parts: Part[] = [];
    try {
      for (const one of namesOf(path)) {
        const found = await stat(one);
        if (!found.isFile()) throw new Error('not a file');
        const last = parts.at(-1);
        const start = last ? last.start + last.bytes : 0;
        parts.push({ handle: await open(one, 'r'), start, bytes: found.size });
      }
    } catch (cause) {
      for (const { handle } of parts) await handle.close();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DroverError('FILE_UNREADABLE', `open ${path}: ${why}`, { cause });
    }
    return new PartsReader(path, parts);
  }

  /** @returns fewer bytes only at the end of the file @throws DroverError FILE_UNREADABLE */
  async read(position: number, bytes: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(Math.max(0, Math.min(bytes, this.bytes - position)));
    let filled = 0;
    while (filled < buffer.byteLength) {
      const at = position + filled;
      const part = this.#parts.find((one) => at >= one.start && at < one.start + one.bytes);
      if (part === undefined) break;
      const step = Math.min(buffer.byteLength - filled, part.start + part.bytes - at);
      const bytesRead = await this.#readPart(
        part.handle,
        buffer.subarray(filled, filled + step),
        at - part.start,
      );
      if (bytesRead === 0) break; // it was truncated while we read it
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  async #readPart(handle: FileHandle, into: Uint8Array, position: number): Promise<number> {
    try {
      return (await handle.read(into, 0, into.byteLength, position)).bytesRead;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DroverError('FILE_UNREADABLE', `read ${this.path}: ${why}`, { cause });
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#parts) await handle.close();
  }
}
