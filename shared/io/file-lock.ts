/**
 * Serialises commands that read, change and write one file: while one of them works, `FILE.lock`
 * exists beside it. A lock that a killed command left behind is ignored when it is older than any
 * such work may take.
 */

import { open, stat, unlink, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/** @throws DroverError FILE_LOCKED when others keep it for too long; what `work` throws */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  const own = await take(lock);
  try {
    return await work();
  } finally {
    await giveBack(lock, own);
  }
}

async function take(lock: string): Promise<FileHandle> {
  const until = performance.now() + LIMITS.fileLockWaitMs;
  for (;;) {
    const own = await make(lock);
    if (own) return own;
    await removeLeftOver(lock);
    if (performance.now() > until) {
      throw new DroverError('FILE_LOCKED', `another command works on it: ${lock} is there`);
    }
    await sleep(LIMITS.fileLockLookMs);
  }
}

async function make(lock: string): Promise<FileHandle | null> {
  try {
    return await open(lock, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
    throw error;
  }
}

/** After a pause of minutes another command may have judged it left over, and made its own. */
async function giveBack(lock: string, own: FileHandle): Promise<void> {
  try {
    const [{ ino }, there] = [await own.stat(), await stat(lock).catch(orNull)];
    if (there?.ino === ino) await unlink(lock).catch(orNull);
  } finally {
    await own.close();
  }
}

/** By the clock of the file system on both sides: a clock that jumped makes it wait, at worst. */
async function removeLeftOver(lock: string): Promise<void> {
  const there = await stat(lock).catch(orNull);
  if (!there) return;
  if (Math.abs(Date.now() - there.mtimeMs) > LIMITS.fileLockLeftOverMs)
    await unlink(lock).catch(orNull);
}

/** Its owner was faster. */
function orNull(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
