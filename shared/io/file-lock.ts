/**
 * Serialises commands that read, change and write one file: while one of them works, `FILE.lock`
 * exists beside it and names its process. A lock of a process that has ended is taken away at once.
 * A lock whose process cannot be seen from here (another container, another machine, a version
 * before this one) is ignored when it is older than any such work may take.
 */

import { readFileSync, readlinkSync } from 'node:fs';
import { open, readFile, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
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
  const own = await open(lock, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return null;
    throw error;
  });
  if (!own) return null;
  try {
    await own.writeFile(ownerOf(process.pid) ?? '');
    return own;
  } catch (error) {
    await giveBack(lock, own);
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

/**
 * A clock that jumps (a robot that gets its time while it works) makes no lock of a living process
 * old: only one that names no process of ours goes by its age.
 */
async function removeLeftOver(lock: string): Promise<void> {
  const there = await stat(lock).catch(orNull);
  const owner = there && (await readFile(lock, 'utf8').catch(orNull));
  if (!there || owner === null) return;
  const pid = pidHere(owner);
  const isLeft =
    pid === null
      ? Math.abs(Date.now() - there.mtimeMs) > LIMITS.fileLockLeftOverMs
      : ownerOf(pid) !== owner;
  if (isLeft) await moveAway(lock, there.ino);
}

/** Another command may have moved it away and made its own in between: that one goes back. */
async function moveAway(lock: string, ino: number): Promise<void> {
  const aside = `${lock}.${process.pid}`;
  if ((await rename(lock, aside).catch(orNull)) === null) return;
  const isOther = (await stat(aside)).ino !== ino;
  await (isOther ? rename(aside, lock) : unlink(aside));
}

/** The process, its start and the place where the number is its own; null where the kernel shows none. */
function ownerOf(pid: number): string | null {
  const place = placeHere();
  if (place === null) return null;
  try {
    const facts = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold spaces; the start is field 22, and the first after it field 3.
    const fields = facts.slice(facts.lastIndexOf(')') + 2).split(' ');
    const hasEnded = fields[0] === 'Z'; // nobody has fetched its exit code yet
    return hasEnded ? null : `${pid} ${fields[19]} ${place}\n`;
  } catch {
    return null;
  }
}

/** The process that a lock names, when its number means something here. */
function pidHere(owner: string): number | null {
  const [pid, , ...place] = owner.trimEnd().split(' ');
  return place.length > 0 && place.join(' ') === placeHere() ? Number(pid) : null;
}

/** This boot of this machine, and its numbers of processes; null where the kernel does not tell. */
function placeHere(): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return null;
  }
}

/** Its owner was faster. */
function orNull(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
