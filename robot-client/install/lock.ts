/**
 * One writer for each root: a lock of the kernel, taken before the first look by the agent, by
 * `recover` and by every verb that writes, and gone with the process however it ends.
 *
 * It is an flock(2) on the root folder itself, which also works when the disk is read-only or full,
 * and holds between containers that share the folder. `state/` is locked beside it when it is there:
 * a container may have been given that folder alone. A lock belongs to the open file description:
 * the program `flock` takes it on a descriptor that it inherits, and it stays while ours is open.
 * The path is locked as well, outside of the root (path-lock.ts): a root may be unmounted under us.
 * Node opens with O_CLOEXEC, so no hook, and no daemon that a hook leaves behind, keeps it.
 */

import { closeSync, constants, fstat, openSync, readFileSync, stat, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { DroverError } from '../../shared/base/errors.ts';
import { layoutOf } from './layout.ts';
import { diskError, realDisk } from './disk.ts';
import { notMounted, rememberMount } from './mount-memory.ts';
import { mountedPlace, overlaps } from './mounted-place.ts';
import { NO_FOLDERS, type OwnFolders } from './outside-root.ts';
import { flock, lockPaths, realPathOf } from './path-lock.ts';
import { makeRoot } from '../update/swap.ts';

export interface RootLock {
  readonly root: string;
  /** Null while the paths of root and `state/` lead to the folders that are locked. */
  stray(): Promise<DroverError | null>;
  /**
   * Makes and locks `state/` when it is gone.
   * @throws DroverError ROOT_REPLACED, and those of `lockRoot`
   */
  takeState(): Promise<void>;
  /** Idempotent. The end of the process does the same. */
  release(): void;
}

const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Locks a root, which is made when it is absent: first its path, since another may hold the root of
 * this path that was unmounted, then the folder.
 * @param own left out: the folder alone is locked, and no mount is remembered
 * @throws DroverError ROBOT_ALREADY_RUNNING, ROOT_NOT_MOUNTED, FLOCK_MISSING, ROOT_LOCK_FAILED,
 *   DISK_READ_ONLY, DISK_FULL, DISK_WRITE_FAILED
 */
export async function lockRoot(root: string, own: OwnFolders = NO_FOLDERS): Promise<RootLock> {
  const paths = await lockPaths(root, own);
  try {
    const lock = await lockFolders(root, own);
    return {
      ...{ root, stray: () => lock.stray(), takeState: () => lock.takeState() },
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
export async function lockFolders(root: string, own: OwnFolders): Promise<RootLock> {
  const away = notMounted(root, own);
  if (away) throw away;
  const layout = layoutOf(root);
  if (folderId(root) === null) await makeRoot(realDisk, layout);
  const lock = new FolderLock(root, layout.state, await lockFolder(root, root));
  try {
    if ((await realDisk.kind(layout.state)) === 'folder') await lock.lockState();
    await rememberMount(root, own);
    return lock;
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

class FolderLock implements RootLock {
  #fds: { readonly root: number; readonly state: number | null } | null;

  readonly root: string;
  readonly #state: string;

  constructor(root: string, state: string, rootFd: number) {
    this.root = root;
    this.#state = state;
    this.#fds = { root: rootFd, state: null };
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
    this.#fds = { root: before.root, state };
  }

  release(): void {
    const fds = this.#fds;
    this.#fds = null;
    for (const fd of [fds?.root, fds?.state]) if (typeof fd === 'number') closeSync(fd);
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

/**
 * True when the kernel lists a lock on this root, or on another file. For telling only: taking the
 * lock to find out would refuse an agent that starts at the same instant. False where the kernel
 * shows no locks.
 */
export function isLocked(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (!stat) return false;
  const [major, minor] = [
    (stat.dev >> 8n) & 0xfffn,
    (stat.dev & 0xffn) | ((stat.dev >> 12n) & 0xfff00n),
  ];
  const hex = (number: bigint): string => number.toString(16).padStart(2, '0');
  const id = `${hex(major)}:${hex(minor)}:${stat.ino}`;
  try {
    const locks = readFileSync('/proc/locks', 'utf8').split('\n');
    return locks.some((line) => / FLOCK /.test(line) && line.split(/\s+/).includes(id));
  } catch {
    return false; // no /proc here
  }
}

/**
 * Two roots that are one folder in two spellings, or of which one lies in the other, would undo
 * each other's work. They need not exist yet.
 * @throws DroverError ROOTS_OVERLAP
 */
export function assertRootsApart(roots: readonly { component: string; root: string }[]): void {
  const mounts = roots.length > 1 ? readMounts() : '';
  const found = roots.map(({ component, root }) => {
    const real = realPathOf(root);
    return { component, real, id: folderId(root), place: mountedPlace(real, mounts) };
  });
  for (const [at, one] of found.entries()) {
    for (const other of found.slice(at + 1)) {
      const isSame = one.real === other.real || (one.id !== null && one.id === other.id);
      const isMounted = one.place && other.place && overlaps(one.place, other.place);
      const isInside = isMounted || isBelow(one.real, other.real) || isBelow(other.real, one.real);
      if (!isSame && !isInside) continue;
      const how = isSame ? 'are the same folder' : 'lie in each other';
      throw new DroverError(
        'ROOTS_OVERLAP',
        `read --root: ${one.component} and ${other.component} ${how} (${one.real}, ${other.real})`,
      );
    }
  }
}

/** Empty where the kernel shows no mounts: paths and inodes are compared all the same. */
function readMounts(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return '';
  }
}

const isBelow = (path: string, above: string): boolean =>
  path.startsWith(above === '/' ? '/' : `${above}/`);

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
