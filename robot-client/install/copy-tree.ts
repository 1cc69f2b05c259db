/** Moves a folder that cannot be renamed, such as one of the lower layer of an overlay: by a copy. */

import { DroverError } from '../../shared/base/errors.ts';
import type { Disk } from './disk-port.ts';

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

/** Makes every file and folder of a tree durable, one after the other. */
export async function syncTree(disk: Disk, path: string): Promise<void> {
  const kind = await disk.kind(path);
  if (kind === 'file') {
    const file = await disk.open(path, 'read');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
  if (kind !== 'folder') return;
  for (const name of await disk.list(path)) await syncTree(disk, `${path}/${name}`);
  await disk.syncFolder(path);
}
