/**
 * One writer for each root: a kernel lock that the agent, `recover` and every verb that writes take
 * before they read anything, and that ends with the process in every case.
 * It is an flock(2) on the root folder itself, which also works when the disk is read-only or full,
 * and holds between containers that share the folder. `state/` is locked too when it exists,
 * because a container may have only that folder; and `releases/`, because the link of another root
 * may lead there. A lock belongs to the open file description: the program `flock` takes it on an
 * inherited descriptor, and it stays while ours is open.
 * The path is locked as well, outside of the root (path-lock.ts): a root may be unmounted under us.
 * Node opens with O_CLOEXEC, so no hook, and no daemon that a hook leaves behind, keeps the lock.
 */

import { closeSync, constants, fstat, fstatSync, openSync, stat, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { DroverError } from '../../shared/base/errors.ts';
import { layoutOf, type Layout } from './layout.ts';
import { diskError, isForbidden } from './disk-error.ts';
import { realDisk } from './disk.ts';
import { isLocked } from './kernel-locks.ts';
import { notMounted, rememberMount } from './mount-memory.ts';
import { NO_FOLDERS, type OwnFolders } from './outside-root.ts';
import { flock, lockPaths, realPathOf } from './path-lock.ts';
import { makeRoot } from './make-root.ts';

export interface RootLock {
  readonly root: string;
  /** Null while the paths of root and `state/` lead to the folders that are locked. */
  stray(): Promise<DroverError | null>;
  /**
   * Creates and locks `state/` when it is gone.
   * @throws DroverError ROOT_REPLACED, and those of `lockRoot`
   */
  takeState(): Promise<void>;
  /**
   * Locks `releases/` when it is there and is not the folder that is locked.
   * @throws DroverError ROBOT_ALREADY_RUNNING: another root leads to the same folder
   */
  takeReleases(): Promise<void>;
  /** Idempotent. The end of the process does the same. */
  release(): void;
}

const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Locks a root, which is made when it is absent: first its path, since another may hold the root of
 * this path that was unmounted, then the folder.
 * @param own left out: the folder alone is locked, and no mount is remembered
 * @param isStateNeeded false: a `state/` that this user may not open is left, as to lead the links
 * @throws DroverError ROBOT_ALREADY_RUNNING, ROOT_NOT_MOUNTED, FLOCK_MISSING, ROOT_LOCK_FAILED,
 *   DISK_READ_ONLY, DISK_FULL, DISK_WRITE_FAILED, PERMISSION_DENIED, NOT_A_FILE
 */
export async function lockRoot(
  root: string,
  own: OwnFolders = NO_FOLDERS,
  isStateNeeded = true,
): Promise<RootLock> {
  const paths = await lockPaths(root, own);
  try {
    const lock = await lockFolders(root, own, isStateNeeded);
    return {
      ...{ root, stray: () => lock.stray() },
      takeState: () => lock.takeState(),
      takeReleases: () => lock.takeReleases(),
      release: () => {
        lock.release();
        paths.release();
      },
    };
  } catch (thrown) {
    paths.release();
    throw thrown;
  }
}

/** The same for a caller that holds the lock of the path. @throws DroverError as `lockRoot` */
export async function lockFolders(
  root: string,
  own: OwnFolders,
  isStateNeeded = true,
): Promise<RootLock> {
  const away = notMounted(root, own);
  if (away) throw away;
  const layout = layoutOf(root);
  if (folderId(root) === null) await makeRoot(realDisk, layout);
  const lock = new FolderLock(layout, await lockFolder(root, root));
  try {
    if ((await realDisk.kind(layout.state)) === 'folder') {
      await lock.lockState().catch((thrown: unknown) => {
        if (isStateNeeded || !isForbidden(thrown)) throw thrown;
        assertNotLocked(layout.state); // the lock of the root holds without it
      });
    }
    await lock.takeReleases();
    await rememberMount(root, own);
    return lock;
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

/** For a folder that cannot be opened to lock it: a container may have been given it alone. */
function assertNotLocked(folder: string): void {
  if (!isLocked(folder)) return;
  const why = `lock ${folder}: another drover-robot works on this folder`;
  throw new DroverError('ROBOT_ALREADY_RUNNING', why);
}

class FolderLock implements RootLock {
  #fds: { root: number; state: number | null; releases: number | null } | null;

  readonly root: string;
  readonly #state: string;
  readonly #releases: string;

  constructor({ root, state, releases }: Layout, rootFd: number) {
    this.root = root;
    this.#state = state;
    this.#releases = releases;
    this.#fds = { root: rootFd, state: null, releases: null };
  }

  async stray(): Promise<DroverError | null> {
    const [fds, root, state] = [this.#fds, this.root, this.#state];
    if (!fds) return null;
    if (await leadsElsewhere(root, fds.root)) {
      const why = 'another folder stands there than the one that the agent opened, or none';
      return new DroverError('ROOT_REPLACED', `use ${root}: ${why}`);
    }
    if (fds.state === null || !(await leadsElsewhere(state, fds.state))) return null;
    return new DroverError('STATE_GONE', `use ${state}: it was removed or replaced`);
  }

  async takeState(): Promise<void> {
    const stray = await this.stray();
    if (stray?.code === 'ROOT_REPLACED') throw stray;
    if (!stray && this.#fds?.state !== null) return;
    await realDisk.mkdir(this.#state);
    if ((await realDisk.kind(this.#state)) === 'folder') await this.lockState();
  }

  async lockState(): Promise<void> {
    const state = await lockFolder(this.#state, this.root);
    const before = this.#fds;
    if (!before) return closeSync(state);
    if (before.state !== null) closeSync(before.state);
    this.#fds = { ...before, state };
  }

  async takeReleases(): Promise<void> {
    const fds = this.#fds;
    const held = fds && [fds.root, fds.state, fds.releases];
    const found = folderId(this.#releases);
    if (!held || found === null || held.some((fd) => fd !== null && idOf(fd) === found)) return;
    const releases = await lockReleases(this.#releases);
    if (releases === null) return;
    const before = this.#fds;
    if (!before) return closeSync(releases);
    if (before.releases !== null) closeSync(before.releases);
    this.#fds = { ...before, releases };
  }

  release(): void {
    const fds = this.#fds;
    this.#fds = null;
    for (const fd of Object.values(fds ?? {})) if (fd !== null) closeSync(fd);
  }
}

const statFd = promisify(fstat);
const statPath = promisify(stat);

/** False for a path that cannot be examined: the operation that follows reports the disk. */
async function leadsElsewhere(path: string, fd: number): Promise<boolean> {
  try {
    const [held, found] = await Promise.all([
      statFd(fd, { bigint: true }),
      statPath(path, { bigint: true }),
    ]);
    return held.dev !== found.dev || held.ino !== found.ino;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR';
  }
}

/** Equal for one folder under two names, also over a bind mount; null when there is none. */
export function folderId(path: string): string | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null; // also a loop, or a file on the way: the next user of the path reports it
  }
}

function idOf(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

/** Null for a folder that cannot be opened or locked: the lock of the root holds without it. */
async function lockReleases(folder: string): Promise<number | null> {
  try {
    return await lockFolder(folder, folder);
  } catch (thrown) {
    const code = thrown instanceof DroverError ? thrown.code : null;
    if (code !== 'ROBOT_ALREADY_RUNNING') return null;
    const real = realPathOf(folder);
    const hint = `give each root a releases/ of its own, or stop the other agent first: fuser -v ${real} names it`;
    const why = `lock ${folder}: another drover-robot works on this folder (${real}), maybe from another root`;
    throw new DroverError(code, why, { hint, cause: thrown });
  }
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
