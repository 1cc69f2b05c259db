/**
 * One writer at a time for a file that commands read, change and write again: while one of them
 * works, `FILE.lock` stands beside it. One that a killed command left behind counts for nothing
 * when it is older than any such work may take.
 */

import { open, stat, unlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/** @throws DroverError FILE_LOCKED when others keep it for too long; what `work` throws */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  await take(lock);
  try {
    return await work();
  } finally {
    await unlink(lock);
  }
}

async function take(lock: string): Promise<void> {
  const until = performance.now() + LIMITS.fileLockWaitMs;
  while (!(await isMade(lock))) {
    await removeLeftOver(lock);
    if (performance.now() > until) {
      throw new DroverError('FILE_LOCKED', `another command works on it: ${lock} is there`);
    }
    await sleep(LIMITS.fileLockLookMs);
  }
}

async function isMade(lock: string): Promise<boolean> {
  try {
    await (await open(lock, 'wx', 0o600)).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** By the clock of the file system on both sides: a clock that jumped makes it wait, at worst. */
async function removeLeftOver(lock: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(lock);
    if (Math.abs(Date.now() - mtimeMs) > LIMITS.fileLockLeftOverMs) await unlink(lock);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // its owner was faster
  }
}
