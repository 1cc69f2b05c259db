/**
 * One writer for each root: a lock of the kernel, taken before the first look by the agent, by
 * `recover` and by every verb that writes, and gone with the process however it ends.
 *
 * It is an flock(2) on the root folder itself, which also works when the disk is read-only or full,
 * and holds between containers that share the folder. `state/` is locked beside it when it is there:
 * a container may have been given that folder alone. A lock belongs to the open file description:
 * the program `flock` takes it on a descriptor that it inherits, and it stays while ours is open.
 * Node opens with O_CLOEXEC, so no hook, and no daemon that a hook leaves behind, keeps it.
 */

import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { layoutOf } from './layout.ts';
import { diskError, realDisk } from './disk.ts';
import { makeRoot } from '../update/swap.ts';

export interface RootLock {
  readonly root: string;
  /** Idempotent. The end of the process does the same. */
  release(): void;
}

const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Locks a root, which is made when it is absent.
 * @throws DroverError ROBOT_ALREADY_RUNNING, FLOCK_MISSING, ROOT_LOCK_FAILED, DISK_READ_ONLY,
 *   DISK_FULL, DISK_WRITE_FAILED
 */
export async function lockRoot(root: string): Promise<RootLock> {
  const layout = layoutOf(root);
  if (folderId(root) === null) await makeRoot(realDisk, layout);
  const locks = [await lockFolder(root, root)];
  const release = (): void => {
    for (const fd of locks.splice(0)) closeSync(fd);
  };
  try {
    if ((await realDisk.kind(layout.state)) === 'folder') {
      locks.push(await lockFolder(layout.state, root));
    }
  } catch (thrown) {
    release();
    throw thrown;
  }
  return { root, release };
}

/**
 * Two roots that are one folder in two spellings, or of which one lies in the other, would undo
 * each other's work. They need not exist yet.
 * @throws DroverError ROOTS_OVERLAP
 */
export function assertRootsApart(roots: readonly { component: string; root: string }[]): void {
  const found = roots.map(({ component, root }) => ({
    component,
    real: realPathOf(root),
    id: folderId(root),
  }));
  for (const [at, one] of found.entries()) {
    for (const other of found.slice(at + 1)) {
      const isSame = one.real === other.real || (one.id !== null && one.id === other.id);
      const isInside = isBelow(one.real, other.real) || isBelow(other.real, one.real);
      if (!isSame && !isInside) continue;
      const how = isSame ? 'are the same folder' : 'lie in each other';
      throw new DroverError(
        'ROOTS_OVERLAP',
        `read --root: ${one.component} and ${other.component} ${how} (${one.real}, ${other.real})`,
      );
    }
  }
}

const isBelow = (path: string, above: string): boolean =>
  path.startsWith(above === '/' ? '/' : `${above}/`);

/** The real path of what exists of a path, with the rest behind it. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const above = dirname(path);
    if (above === path) return path;
    const real = realPathOf(above);
    return `${real === '/' ? '' : real}${path.slice(above === '/' ? 0 : above.length)}`;
  }
}

/** The same for one folder under two names, also over a bind mount; null when there is none. */
function folderId(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat ? `${stat.dev}:${stat.ino}` : null;
}

async function lockFolder(folder: string, root: string): Promise<number> {
  let fd: number;
  try {
    fd = openSync(folder, OPEN_FOLDER);
  } catch (cause) {
    throw diskError('open', folder, cause);
  }
  try {
    await flock(fd, root);
    return fd;
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

/** `flock -n` ends with 1 and without a word when another holds the lock, also that of busybox. */
function flock(fd: number, root: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (
      code: 'ROBOT_ALREADY_RUNNING' | 'FLOCK_MISSING' | 'ROOT_LOCK_FAILED',
      why: string,
    ) => reject(new DroverError(code, `lock ${root}: ${why}`));
    const child = spawn('flock', ['-n', '3'], {
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
      stdio: ['ignore', 'ignore', 'pipe', fd],
      timeout: LIMITS.flockMs,
    });
    let said = '';
    child.stderr?.on('data', (bytes: Buffer) => (said = (said + bytes).slice(0, 500)));
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return fail('FLOCK_MISSING', 'there is no program flock here');
      fail('ROOT_LOCK_FAILED', `could not run flock: ${error.message}`);
    });
    child.once('close', (exitCode, signal) => {
      if (exitCode === 0) return resolve();
      const words = said.trim();
      if (exitCode === 1 && words === '') {
        return fail('ROBOT_ALREADY_RUNNING', 'another drover-robot works on it');
      }
      fail('ROOT_LOCK_FAILED', words === '' ? `flock ended with ${exitCode ?? signal}` : words);
    });
  });
}
