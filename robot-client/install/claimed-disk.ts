/**
 * A disk that refuses changes under a root whose path no longer leads to the claimed folder: it was
 * unmounted, or its folder was moved, removed or replaced while the agent runs. The folder that is
 * there now is not ours. Reads are allowed: their callers check the claims first.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { DroverError } from '../../shared/base/errors.ts';
import type { Disk } from './disk-port.ts';
import { layoutOf } from './layout.ts';
import type { RootClaims } from './root-claims.ts';

/** @returns a disk whose changes also throw ROOT_REPLACED or STATE_GONE */
export function claimedDisk(disk: Disk, claims: RootClaims): Disk {
  const assertOurs = freshCheck(claims);
  const checked =
    <A extends unknown[], T>(paths: (...args: A) => string[], run: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      for (const path of paths(...args)) await assertOurs(path);
      return await run(...args);
    };
  const first = (...[path]: [string, ...unknown[]]): string[] => [path];
  const last = (_: string, path: string): string[] => [path];
  const both = (from: string, to: string): string[] => [from, to];
  return {
    ...disk,
    mkdir: checked(first, disk.mkdir),
    open: checked((path, use) => (use === 'read' ? [] : [path]), disk.open),
    chmod: checked(first, disk.chmod),
    hardLink: checked(last, disk.hardLink),
    symlink: checked(last, disk.symlink),
    rename: checked(both, disk.rename),
    unlink: checked(first, disk.unlink),
    copyTree: checked(last, disk.copyTree),
    removeTree: checked(first, disk.removeTree),
    reserve: checked((paths) => [...paths], disk.reserve),
  };
}

/** Looks before each change; not once for each of the thousands of files of a tree in staging/. */
function freshCheck(claims: RootClaims): (path: string) => Promise<void> {
  const looks = new Map<string, { atMs: number; stray: Promise<DroverError | null> }>();
  return async (path) => {
    const root = claims.rootOf(path);
    if (root === null) return;
    const now = performance.now();
    let look = looks.get(root);
    const isStaging = path.startsWith(`${layoutOf(root).staging}/`);
    if (!look || !isStaging || now - look.atMs > LIMITS.claimLookMs) {
      look = { atMs: now, stray: claims.stray(root) };
      looks.set(root, look);
    }
    const stray = await look.stray;
    if (!stray) return;
    looks.delete(root); // a repaired root is noticed at once
    throw stray;
  };
}
