/**
 * Gives an error of the system for a path its code: a disk that is full, read-only or failing, a
 * user without the right, or something that occupies the place of Drover's own file or folder. The
 * hint names the path and the user.
 */

import { lstatSync, statfsSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { errnoOf, wordsOfErrno } from '../../shared/base/errno.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';

const DISK_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  EROFS: 'DISK_READ_ONLY',
};
/** Something of another kind is at the path, or at a folder above it. */
const IN_THE_WAY = ['EISDIR', 'ENOTDIR', 'EEXIST', 'ENOTEMPTY', 'ELOOP', 'ESPIPE', 'ENXIO'];

/** The code of a user without the right; no sign of a lost, damaged or sick disk. */
export const isForbidden = (thrown: unknown): boolean =>
  thrown instanceof DroverError && thrown.code === 'PERMISSION_DENIED';

/** A failure of the disk itself, of its permissions, or of a path that something occupies. */
export const isDiskFailure = (code: string): boolean =>
  code.startsWith('DISK_') || code === 'PERMISSION_DENIED' || code === 'NOT_A_FILE';

/** @param path that was to be created, changed or read; of a rename, its destination */
export function diskError(what: string, path: string, cause: unknown): DroverError {
  if (cause instanceof DroverError) return cause; // it has its code already
  const [errno, why] = [errnoOf(cause), wordsOfErrno(cause)];
  const fail = (code: ErrorCode, hint?: string): DroverError =>
    new DroverError(code, `${what} ${path}: ${why}`, {
      cause,
      ...(hint !== undefined && { hint }),
    });
  const ofDisk = DISK_CODES[errno];
  if (errno === 'EDQUOT') return fail('DISK_FULL', QUOTA_HINT);
  if (ofDisk === 'DISK_FULL' && isOutOfInodes(path)) return fail(ofDisk, inodesHint(path));
  if (ofDisk !== undefined) return fail(ofDisk);
  if (errno === 'EACCES') return fail('PERMISSION_DENIED', forbiddenHint(path));
  if (errno === 'EPERM') return fail('PERMISSION_DENIED', frozenHint(path));
  const odd = IN_THE_WAY.includes(errno) ? inTheWay(path) : null;
  if (odd !== null) return fail('NOT_A_FILE', moveAway(odd));
  return fail('DISK_WRITE_FAILED');
}

export const moveAway = (path: string): string =>
  `move ${path} away: Drover makes its own there; it is looked at again by itself`;

const forbiddenHint = (path: string): string =>
  `${whoAmI()} may not do this: ls -ld ${closedAt(path)} shows whose it is; run the command as that user (the one of the agent) or as root, or give it back with chown`;

/** Finds the path that `ls -ld` can show: a folder that may not be entered hides its contents. */
function closedAt(path: string): string {
  try {
    lstatSync(path);
    return path;
  } catch (thrown) {
    const above = dirname(path);
    return errnoOf(thrown) === 'EACCES' && above !== path ? closedAt(above) : path;
  }
}

const frozenHint = (path: string): string =>
  `${whoAmI()} may not change this: lsattr -d ${path} ${dirname(path)} shows a mark of immutable or append-only, which chattr -i -a takes off; else ls -ld shows whose it is: run the command as that user or as root`;

export const QUOTA_HINT =
  'the quota of the user of the agent, or of this folder, is used up, though the disk may have room: quota -v shows it; remove files or raise it; it goes on by itself';

const inodesHint = (path: string): string =>
  `no inodes are left for new files, though there may be room: df -i ${dirname(path)}; remove small files; it goes on by itself`;

/** A file system that counts none has none to be out of. */
function isOutOfInodes(path: string): boolean {
  try {
    const { files, ffree } = statfsSync(dirname(path));
    return files > 0 && ffree === 0;
  } catch {
    return false;
  }
}

function whoAmI(): string {
  try {
    const { username, uid } = userInfo();
    return `user ${username} (${uid})`;
  } catch {
    return `user ${process.geteuid?.() ?? 'of this process'}`; // one without a name
  }
}

/**
 * The path that has to be moved away: the first one above that is not a folder, else the path
 * itself when something is there. Null when nothing is: the disk is at fault.
 */
function inTheWay(path: string): string | null {
  try {
    for (let above = dirname(path); above !== dirname(above); above = dirname(above)) {
      const found = statSync(above, { throwIfNoEntry: false });
      if (found && !found.isDirectory()) return above;
      if (found) break;
    }
    return lstatSync(path, { throwIfNoEntry: false }) ? path : null;
  } catch (thrown) {
    return errnoOf(thrown) === 'ENOTDIR' ? inTheWay(dirname(path)) : null;
  }
}
