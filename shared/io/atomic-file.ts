/**
 * Whole-file writes that a power cut leaves either undone or done: write beside, fsync, rename,
 * fsync the folder. Without the last fsync the rename itself may be lost.
 */

import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Owner and permissions of a file. */
export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/**
 * @param mode permission bits of the new file, of which the umask takes some
 * @param like the new file gets this owner, this group and these bits whatever the umask is
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array | string,
  mode = 0o644,
  like?: Ownership,
): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`;
  const handle = await open(beside, 'w', mode);
  try {
    if (like) {
      await handle.chown(like.uid, like.gid);
      await handle.chmod(like.mode & 0o777);
    }
    await handle.writeFile(bytes);
    await handle.sync();
  } catch (error) {
    await unlink(beside).catch(() => undefined); // the write's own error is the one to throw
    throw error;
  } finally {
    await handle.close();
  }
  await rename(beside, path);
  await syncFolder(dirname(path));
}
