/**
 * Reads and writes the small files that a robot keeps. After a power cut a file has its old or its
 * new bytes, never a mix. A file that cannot be parsed is renamed and reported, never deleted.
 */

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Disk } from './disk-port.ts';

/** Replaces a file, durably: the new bytes are written beside it, fsynced and renamed. */
export async function writeWhole(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const beside = `${path}.new`;
  const file = await disk.open(beside, 'create', 0o600);
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(beside, path);
  await disk.syncFolder(path.slice(0, path.lastIndexOf('/')));
}

/**
 * Reads a small file at once, for what stands outside of the Disk port. The path may have become
 * something else, which must not hold up an agent or take its memory: a FIFO is not waited for, and
 * a file that has grown to a gigabyte is not read.
 * @throws DroverError NOT_A_FILE, DOCUMENT_TOO_LARGE; or an error of the system
 */
export function readPlainNow(path: string, bytesMax: number = LIMITS.inputBytesMax): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = fstatSync(fd);
    if (!found.isFile()) throw new DroverError('NOT_A_FILE', `read ${path}: not a plain file`);
    if (found.size <= bytesMax) return readFileSync(fd);
    const counts = `got ${found.size} bytes, want at most ${bytesMax}`;
    throw new DroverError('DOCUMENT_TOO_LARGE', `read ${path}: too large (${counts})`);
  } finally {
    closeSync(fd);
  }
}

const NO_SMALL_FILE: readonly string[] = ['NOT_A_FILE', 'DOCUMENT_TOO_LARGE'];

/**
 * Null when it is absent, and when what stands there cannot be the file: that is damage, and not a
 * document that is too large.
 * @throws DroverError of the disk
 */
export async function readFitting(
  disk: Disk,
  path: string,
  bytesMax: number,
): Promise<Uint8Array | null> {
  try {
    return await disk.readFile(path, bytesMax);
  } catch (thrown) {
    if (thrown instanceof DroverError && NO_SMALL_FILE.includes(thrown.code)) return null;
    throw thrown;
  }
}

/**
 * Reads and parses a file; a damaged one is renamed to `<path>.corrupt` and reported.
 * @returns null and no problem when there is no file
 * @throws DroverError STATE_NEWER, PERMISSION_DENIED: the file may be whole
 */
export async function readOrSetAside<T>(
  disk: Disk,
  path: string,
  parse: (bytes: Uint8Array) => T,
): Promise<{ value: T | null; problem: Problem | null }> {
  try {
    const bytes = await disk.readFile(path, LIMITS.manifestBytesMax * 4);
    return { value: bytes === null ? null : parse(bytes), problem: null };
  } catch (thrown) {
    if (!(thrown instanceof DroverError) || isClosed(thrown.code)) throw thrown;
    await setAside(disk, path);
    const cause = toProblem(thrown);
    const message = `read ${path.slice(path.lastIndexOf('/') + 1)}: ${cause.message}`;
    return { value: null, problem: toProblem(new DroverError('STATE_CORRUPT', message)) };
  }
}

/** Under a name that is free, or was a file that was set aside before. */
async function setAside(disk: Disk, path: string): Promise<void> {
  const kind = await disk.kind(path);
  for (let nth = 1; nth <= LIMITS.setAsideMax; nth += 1) {
    const aside = nth === 1 ? `${path}.corrupt` : `${path}.corrupt.${nth}`;
    const there = await disk.kind(aside);
    if (there !== 'absent' && (there !== 'file' || kind !== 'file')) continue;
    return disk.rename(path, aside);
  }
  throw new DroverError('STATE_CORRUPT', `set ${path} aside: too many were set aside before`);
}

/** True for a file that may be whole, but that this version or this user must not change. */
export const isClosed = (code: string): boolean =>
  code === 'STATE_NEWER' || code === 'PERMISSION_DENIED';
