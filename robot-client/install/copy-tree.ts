/**
 * Moves a folder that cannot be renamed, such as one of the lower layer of an overlay, by a copy,
 * and makes a tree durable file by file.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { BoundedTasks } from './bounded-tasks.ts';
import { isForbidden } from './disk-error.ts';
import type { Disk, DiskFile } from './disk-port.ts';

const OWNER_READS = 0o400;

/** True for a rename that the file system refuses although nothing is wrong with either path. */
export function isCrossDevice(thrown: unknown): boolean {
  const cause = thrown instanceof Error ? thrown.cause : null;
  return cause instanceof Error && 'code' in cause && cause.code === 'EXDEV';
}

/**
 * Copies a tree with modes, owners and times, makes it durable, and puts it in its place by one
 * rename. A copy that fails is removed.
 * @throws DroverError DISK_FULL, DISK_WRITE_FAILED, ADOPT_IMPOSSIBLE for a mount in it
 */
export async function copyDurably(
  disk: Disk,
  { from, beside, to }: { from: string; beside: string; to: string },
): Promise<void> {
  await assertNoMount(disk, from);
  await disk.removeTree(beside);
  try {
    await disk.copyTree(from, beside);
    await syncTree(disk, beside);
    await disk.rename(beside, to);
  } catch (thrown) {
    await disk.removeTree(beside);
    throw thrown;
  }
}

/**
 * The original of a copy: kept beside where it can be renamed, removed where it cannot.
 * @throws DroverError ADOPT_IMPOSSIBLE, DISK_WRITE_FAILED
 */
export async function removeCopied(disk: Disk, path: string): Promise<void> {
  await assertNoMount(disk, path);
  const aside = `${path}.aside`;
  if ((await disk.kind(aside)) === 'absent') {
    try {
      return await disk.rename(path, aside);
    } catch (thrown) {
      if (!isCrossDevice(thrown)) throw thrown;
    }
  }
  await disk.removeTree(path);
}

/** A mount inside a folder is not a part of it: it must be neither copied nor removed. */
async function assertNoMount(disk: Disk, folder: string): Promise<void> {
  const device = await deviceOf(disk, folder);
  for (const name of await disk.list(folder)) {
    const path = `${folder}/${name}`;
    if ((await disk.kind(path)) !== 'folder') continue;
    if ((await deviceOf(disk, path)) !== device) {
      throw new DroverError('ADOPT_IMPOSSIBLE', `adopt ${folder}: something is mounted at ${path}`);
    }
    await assertNoMount(disk, path);
  }
}

const deviceOf = async (disk: Disk, path: string): Promise<string | undefined> =>
  (await disk.identity(path))?.split(':')[0];

/**
 * Makes every file and folder of a tree durable, some at once.
 * @throws DroverError of the disk; or the signal's reason
 */
export async function syncTree(disk: Disk, path: string, signal?: AbortSignal): Promise<void> {
  const tasks = new BoundedTasks(LIMITS.stageSyncsMax);
  const folders: string[] = [];
  const waiting = [path];
  try {
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      signal?.throwIfAborted();
      const place = at;
      const { kind, mode } = await disk.stat(place);
      if (kind === 'file') await tasks.add(() => syncFile(disk, place, mode));
      if (kind !== 'folder') continue;
      folders.push(place);
      for (const name of await disk.list(place)) waiting.push(`${place}/${name}`);
    }
    await tasks.settled(); // a mode that was lent is given back before its folder is synced
    for (const folder of folders) {
      signal?.throwIfAborted();
      await tasks.add(() => disk.syncFolder(folder));
    }
    await tasks.settled();
  } finally {
    await tasks.idle();
  }
}

async function syncFile(disk: Disk, path: string, mode: number): Promise<void> {
  const file = await openToSync(disk, path, mode);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A release may have a file that its own owner may not read: the right is lent for the open. */
async function openToSync(disk: Disk, path: string, mode: number): Promise<DiskFile> {
  try {
    return await disk.open(path, 'read');
  } catch (thrown) {
    if (!isForbidden(thrown)) throw thrown;
  }
  await disk.chmod(path, mode | OWNER_READS);
  try {
    return await disk.open(path, 'read');
  } finally {
    await disk.chmod(path, mode);
  }
}
