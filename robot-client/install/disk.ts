/** The real disk behind the Disk port. */

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { errnoOf } from '../../shared/base/errno.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { diskError, moveAway, QUOTA_HINT } from './disk-error.ts';
import type { Disk, DiskFile, PathKind, PathStat } from './disk-port.ts';
import { mountPointsIn, MOUNTS_FILE } from './mounted-place.ts';
import { canSyncAll, syncAll } from './sync-all.ts';

const run = promisify(execFile);

const OPEN_FLAGS = {
  new: constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW,
  create: constants.O_CREAT | constants.O_TRUNC | constants.O_RDWR | constants.O_NOFOLLOW,
  update: constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW,
  // A FIFO in the place of a file would block a boot for ever.
  read: constants.O_RDONLY | constants.O_NONBLOCK,
} as const;

async function guarded<T>(what: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw diskError(what, path, cause);
  }
}

/** Runs `run`; an absent path gives `absent` instead of an error. */
async function orAbsent<T>(
  what: string,
  path: string,
  absent: T,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(cause))) return absent;
    throw diskError(what, path, cause);
  }
}

class RealFile implements DiskFile {
  readonly #path: string;
  readonly #handle: fs.FileHandle;

  constructor(path: string, handle: fs.FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  write(bytes: Uint8Array, atByte: number): Promise<void> {
    return guarded('write', this.#path, async () => {
      let done = 0;
      while (done < bytes.byteLength) {
        const left = bytes.byteLength - done;
        const { bytesWritten } = await this.#handle.write(bytes, done, left, atByte + done);
        done += bytesWritten;
      }
    });
  }

  read(into: Uint8Array, atByte: number): Promise<number> {
    return guarded('read', this.#path, async () => {
      const { bytesRead } = await this.#handle.read(into, 0, into.byteLength, atByte);
      return bytesRead;
    });
  }

  size(): Promise<number> {
    return guarded('stat', this.#path, async () => (await this.#handle.stat()).size);
  }

  setMode(mode: number): Promise<void> {
    return guarded('chmod', this.#path, () => this.#handle.chmod(mode));
  }

  setTime(timeS: number): Promise<void> {
    return guarded('set time of', this.#path, () => this.#handle.utimes(timeS, timeS));
  }

  sync(): Promise<void> {
    return guarded('fsync', this.#path, () => this.#handle.sync());
  }

  close(): Promise<void> {
    return guarded('close', this.#path, () => this.#handle.close());
  }
}

async function assertFolder(path: string): Promise<void> {
  const found = await fs.stat(path).catch(() => null); // null for a link to nothing
  if (found?.isDirectory()) return;
  throw new DroverError('NOT_A_FILE', `make folder ${path}: no folder stands there`, {
    hint: moveAway(path),
  });
}

/** Other users cannot write the agent's folders, also where it runs with a umask of 0. */
const FOLDER_MODE = 0o755;

/** Node's own recursive mkdir says ENOENT where the disk is read-only. */
async function makeFolders(path: string): Promise<void> {
  try {
    await fs.mkdir(path, FOLDER_MODE);
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') return await assertFolder(path);
    if (errnoOf(cause) !== 'ENOENT' || dirname(path) === path) throw cause;
    await makeFolders(dirname(path));
    await fs.mkdir(path, FOLDER_MODE).catch((again: unknown) => {
      if (errnoOf(again) !== 'EEXIST') throw again;
    });
  }
}

const NO_SUCH_NAME = '.no-such-name';

/** Unit of `st_blocks`, whatever the file system's own is. */
const STAT_BLOCK_BYTES = 512;

/** `fallocate` takes one file, and to start a program from Node costs many times its work. */
const RESERVE_EACH =
  'for file; do fallocate --keep-size --offset 0 --length "$0" -- "$file" || exit; done';

/**
 * Node has no call for fallocate(2), so the program of util-linux is run. Without it, or on a file
 * system that cannot reserve, only the check of the free space from before is left.
 */
async function setAside(paths: readonly string[], bytes: number): Promise<boolean> {
  if (bytes <= 0) return false;
  for (const path of paths) {
    await (await fs.open(path, OPEN_FLAGS.update, 0o600)).close(); // the program does not make one
  }
  const args = ['-c', RESERVE_EACH, String(bytes), ...paths];
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' };
  try {
    await run('sh', args, { env, timeout: LIMITS.reserveMs, windowsHide: true });
    return true;
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    if (!NO_ROOM.test(said)) return false;
    const message = `reserve ${bytes} bytes for ${paths[0]}: ${said.trim()}`;
    throw new DroverError('DISK_FULL', message, hintOf(said));
  }
}

/** EPERM is vfat's answer, EMLINK that of a file with too many names. */
async function hardLink(existing: string, path: string): Promise<boolean> {
  try {
    await fs.link(existing, path);
    return true;
  } catch (cause) {
    if (['EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errnoOf(cause)))
      return false;
    throw cause;
  }
}

/**
 * Nothing is written: the kernel compares the two mounts before it looks for the name, which does
 * not exist. Subvolumes of one mount differ in their device number. Any other failure is no answer.
 */
async function canRename(fromFolder: string, toFolder: string): Promise<boolean> {
  try {
    const [from, to] = await Promise.all([fs.stat(fromFolder), fs.stat(toFolder)]);
    if (from.dev !== to.dev) return false;
    await fs.rename(`${fromFolder}/${NO_SUCH_NAME}`, `${toFolder}/${NO_SUCH_NAME}`);
    return true;
  } catch (cause) {
    return errnoOf(cause) !== 'EXDEV';
  }
}

async function mountsIn(folder: string): Promise<string[]> {
  try {
    const mounts = await fs.readFile(MOUNTS_FILE, 'utf8');
    return mountPointsIn(await fs.realpath(folder), mounts);
  } catch {
    return [];
  }
}

function kindOf(stat: { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean }) {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'folder';
  return stat.isSymbolicLink() ? 'link' : 'other';
}

/** By the program of the system: it keeps owners, times and attributes, which Node does not. */
async function copyTree(from: string, to: string): Promise<void> {
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' };
  try {
    await run('cp', ['-a', '--', from, to], { env, windowsHide: true });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    const code = NO_ROOM.test(said) ? 'DISK_FULL' : 'DISK_WRITE_FAILED';
    throw new DroverError(code, `copy ${from}: ${said || String(error)}`, hintOf(said));
  }
}

/** Programs say it so with LC_ALL=C. */
const NO_ROOM = /No space left|quota exceeded/i;

/** A quota is used up though the disk has room. */
const hintOf = (said: string): { hint?: string } =>
  /quota exceeded/i.test(said) ? { hint: QUOTA_HINT } : {};

export const realDisk: Disk = {
  kind: (path) =>
    orAbsent<PathKind>('stat', path, 'absent', async () => kindOf(await fs.lstat(path))),
  stat: (path) =>
    orAbsent<PathStat>('stat', path, { kind: 'absent', bytes: 0, mode: 0 }, async () => {
      const stat = await fs.lstat(path);
      return { kind: kindOf(stat), bytes: stat.size, mode: stat.mode & 0o7777 };
    }),
  readlink: async (path) => {
    try {
      return await fs.readlink(path);
    } catch (cause) {
      if (['ENOENT', 'ENOTDIR', 'EINVAL'].includes(errnoOf(cause))) return null;
      throw diskError('read link', path, cause);
    }
  },
  identity: (path) =>
    orAbsent<string | null>('stat', path, null, async () => {
      const { dev, ino } = await fs.lstat(path, { bigint: true });
      return `${dev}:${ino}`;
    }),
  list: (path) => orAbsent<string[]>('list', path, [], async () => (await fs.readdir(path)).sort()),
  readFile: (path, bytesMax) =>
    orAbsent<Uint8Array | null>('read', path, null, async () => {
      const found = await fs.stat(path);
      if (!found.isFile()) throw new DroverError('NOT_A_FILE', `read ${path}: not a plain file`);
      const { size } = found;
      if (size > bytesMax) {
        throw new DroverError(
          'DOCUMENT_TOO_LARGE',
          `read ${path}: too large (got ${size} bytes, want at most ${bytesMax})`,
        );
      }
      return new Uint8Array(await fs.readFile(path));
    }),
  mkdir: (path) => guarded('make folder', path, () => makeFolders(path)),
  open: (path, use, mode = 0o644) =>
    guarded('open', path, async () => {
      return new RealFile(path, await fs.open(path, OPEN_FLAGS[use], mode));
    }),
  chmod: (path, mode) => guarded('chmod', path, () => fs.chmod(path, mode)),
  hardLink: (existing, path) => guarded('link', path, () => hardLink(existing, path)),
  symlink: (target, path) => guarded('link', path, () => fs.symlink(target, path)),
  rename: (from, to) => guarded(`rename ${from} to`, to, () => fs.rename(from, to)),
  canRename,
  mountsIn,
  unlink: (path) => orAbsent('remove', path, undefined, () => fs.unlink(path)),
  copyTree: (from, to) => guarded('copy', from, () => copyTree(from, to)),
  removeTree: (path) => orAbsent('remove', path, undefined, () => removeTree(path)),
  syncFolder: (path) =>
    guarded('fsync', path, async () => {
      const handle = await fs.open(path, 'r');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }),
  syncAllFrom: (folder) =>
    guarded('ask kind of', folder, async () =>
      (await canSyncAll(folder)) ? LIMITS.syncAllFilesMin : Infinity,
    ),
  syncAll: async (folder, signal) => {
    try {
      return await guarded('sync', folder, () => syncAll(folder, signal));
    } catch (thrown) {
      signal?.throwIfAborted();
      throw thrown;
    }
  },
  reserve: (paths, bytes) =>
    guarded('reserve room for', paths[0] ?? '', () => setAside(paths, bytes)),
  allocated: (path) =>
    orAbsent('stat', path, 0, async () => (await fs.lstat(path)).blocks * STAT_BLOCK_BYTES),
  free: (path) =>
    guarded('ask free space of', path, async () => {
      const stat = await fs.statfs(path);
      return { bytes: stat.bavail * stat.bsize, inodes: stat.files === 0 ? null : stat.ffree };
    }),
};

const OWNER_ALL = 0o700;

/**
 * Removes a tree in which folders may be read-only: a release keeps the permission bits that it was
 * packed with, and a user who is not root cannot remove a name from a folder of mode 0555. Links
 * are not followed; no error when the tree is absent.
 */
async function removeTree(path: string): Promise<void> {
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
