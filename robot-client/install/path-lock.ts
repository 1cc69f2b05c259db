/**
 * Locks the paths of a root, outside of it. The lock on the root folder vanishes when its file
 * system is unmounted: a second program would then find an empty folder and lock that. The lock
 * files stay behind, empty, one for each path; a lock ends with its process.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { isLocked } from './kernel-locks.ts';
import { ownFolders, type OwnFolders } from './outside-root.ts';
import { leftOut, PATH_DEFAULT } from './search-path.ts';

/** Only the owner may enter: whoever can open a lock file can hold the lock. */
const FOLDER_MODE = 0o700;
const HASH_CHARS = 32;

/** The real path of what exists of a path, with the rest behind it. */
export function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const above = dirname(path);
    if (above === path) return path;
    const real = realPathOf(above);
    return `${real === '/' ? '' : real}${path.slice(above === '/' ? 0 : above.length)}`;
  }
}

/** A root as it was given, and as it is without links: both may lead to it at another start. */
export const pathsOf = (root: string): string[] => [...new Set([root, realPathOf(root)])];

/** A name for a path that fits in a file name, whatever the path is. */
export const nameOfPath = (path: string): string =>
  sha256Hex(new TextEncoder().encode(path)).slice(0, HASH_CHARS);

const lockFile = (folder: string, path: string): string => `${folder}/${nameOfPath(path)}.lock`;

/** Files of the locks of a root; none without a folder for them. */
export const lockFilesOf = (root: string, { runtime }: OwnFolders): string[] =>
  runtime === null ? [] : pathsOf(root).map((path) => lockFile(runtime, path));

/**
 * Makes the folder for locks.
 * @returns the same folders, without that one where it cannot be made, and why
 */
export function openRuntime(own: OwnFolders): { own: OwnFolders; problem: Problem | null } {
  const { runtime } = own;
  if (runtime === null) return { own, problem: null };
  try {
    mkdirSync(runtime, { recursive: true, mode: FOLDER_MODE });
    return { own, problem: null };
  } catch (cause) {
    const why = `make ${runtime}: ${(cause as Error).message}`;
    const problem = toProblem(new DroverError('ROOT_LOCK_FAILED', why, { cause }));
    return { own: { ...own, runtime: null }, problem };
  }
}

export interface PathLock {
  /** Idempotent. The end of the process does the same. */
  release(): void;
}

/**
 * A file that cannot be opened or locked is left out: the lock of the root folder holds without it.
 * @throws DroverError ROBOT_ALREADY_RUNNING, FLOCK_MISSING
 */
export async function lockPaths(root: string, own: OwnFolders): Promise<PathLock> {
  const fds: number[] = [];
  const release = (): void => fds.splice(0).forEach((fd) => closeSync(fd));
  for (const file of lockFilesOf(root, own)) {
    try {
      const fd = await lockOne(file, root);
      if (fd !== null) fds.push(fd);
    } catch (thrown) {
      release();
      throw thrown;
    }
  }
  return { release };
}

async function lockOne(file: string, root: string): Promise<number | null> {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch {
    return null;
  }
  try {
    await flock(fd, root);
    return fd;
  } catch (thrown) {
    closeSync(fd);
    if (!(thrown instanceof DroverError) || thrown.code === 'ROOT_LOCK_FAILED') return null;
    if (thrown.code !== 'ROBOT_ALREADY_RUNNING') throw thrown;
    const hint = isLocked(root)
      ? thrown.hint
      : `stop the other first (fuser -v ${root} ${file} names it); it may hold a root of this path that was unmounted or moved`;
    throw new DroverError('ROBOT_ALREADY_RUNNING', thrown.message, { hint, cause: thrown });
  }
}

/**
 * `flock -n`, also that of busybox, silently exits with 1 when another process holds the lock.
 * @param root for the message
 * @throws DroverError ROBOT_ALREADY_RUNNING, FLOCK_MISSING, ROOT_LOCK_FAILED
 */
export async function flock(fd: number, root: string): Promise<void> {
  const given = process.env['PATH'] ?? '/usr/bin:/bin';
  try {
    await flockBy(given, fd, root);
  } catch (thrown) {
    const isMissing = thrown instanceof DroverError && thrown.code === 'FLOCK_MISSING';
    if (!isMissing || leftOut() === null) throw thrown;
    // A robot without its agent could not even tell which folder is to be shut.
    await flockBy(PATH_DEFAULT, fd, root);
  }
}

function flockBy(path: string, fd: number, root: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (
      code: 'ROBOT_ALREADY_RUNNING' | 'FLOCK_MISSING' | 'ROOT_LOCK_FAILED',
      why: string,
      hint?: string,
    ) => reject(new DroverError(code, `lock ${root}: ${why}`, hint === undefined ? {} : { hint }));
    let child: ChildProcess;
    try {
      child = spawn('flock', ['-n', '3'], {
        env: { PATH: path, LC_ALL: 'C' },
        stdio: ['ignore', 'ignore', 'pipe', fd],
        timeout: LIMITS.flockMs,
      });
    } catch (error) {
      // Node throws for want of memory, or for a program that is being written.
      const why = error instanceof Error ? error.message : String(error);
      return fail('ROOT_LOCK_FAILED', `could not run flock: ${why}`);
    }
    let said = '';
    child.stderr?.on('data', (bytes: Buffer) => (said = (said + bytes).slice(0, 500)));
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return fail('FLOCK_MISSING', 'there is no program flock here');
      fail('ROOT_LOCK_FAILED', `could not run flock: ${error.message}`);
    });
    child.once('close', (exitCode, signal) => {
      if (exitCode === 0) return resolve();
      const words = said.trim();
      if (exitCode === 1 && words === '') {
        const hint = `stop the other first: fuser -v ${root} names it; each agent needs a --root of its own`;
        return fail('ROBOT_ALREADY_RUNNING', 'another drover-robot works on it', hint);
      }
      fail('ROOT_LOCK_FAILED', words === '' ? `flock ended with ${exitCode ?? signal}` : words);
    });
  });
}

/** For commands that change nothing: no folder is created. */
export const findOwnFolders = (): OwnFolders => ownFolders(process.env, process.getuid?.() === 0);

/** Creates the folder for locks; where that fails only the roots are locked. */
export function openOwnFolders(log: Log): OwnFolders {
  const found = findOwnFolders();
  const { own, problem } = openRuntime(found);
  if (own.runtime === null) {
    const reason = problem ?? { message: 'neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set' };
    log.info({ reason: reason.message }, 'no folder for locks by path: the roots alone are locked');
  }
  return own;
}
