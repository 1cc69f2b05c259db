/**
 * Removes a tree in which folders may be read-only: a release keeps the permission bits that it was
 * packed with, and a user who is not root cannot remove a name from a folder of mode 0555.
 */

import * as fs from 'node:fs/promises';
import { join } from 'node:path';

const OWNER_ALL = 0o700;

/** Links are not followed; no error when the tree is absent. */
export async function removeTree(path: string): Promise<void> {
  try {
    await fs.rm(path, { recursive: true, force: true });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : '';
    if (code !== 'EACCES' && code !== 'EPERM') throw cause;
    await openFolders(path);
    await fs.rm(path, { recursive: true, force: true });
  }
}

async function openFolders(path: string): Promise<void> {
  if (!(await fs.lstat(path)).isDirectory()) return;
  const waiting = [path];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    await fs.chmod(folder, OWNER_ALL);
    for (const entry of await fs.readdir(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) waiting.push(join(folder, entry.name));
    }
  }
}
