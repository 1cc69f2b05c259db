/** Reads what is locked, and which sockets are listened on, from the lists that the kernel keeps. */

import { readFileSync, statfsSync, statSync, type BigIntStats } from 'node:fs';

/**
 * True when the kernel lists a lock on this root, or on another file. Only for messages: taking the
 * lock to find out would refuse an agent that starts at the same instant. False where the kernel
 * shows no locks.
 */
export function isLocked(path: string): boolean {
  const stat = lookedAt(path);
  if (!stat) return false;
  const [major, minor] = [
    (stat.dev >> 8n) & 0xfffn,
    (stat.dev & 0xffn) | ((stat.dev >> 12n) & 0xfff00n),
  ];
  const hex = (number: bigint): string => number.toString(16).padStart(2, '0');
  const id = `${hex(major)}:${hex(minor)}:${stat.ino}`;
  return locked().includes(id);
}

/** The list of the kernel shows other inodes of its folders than stat(2) does. */
const OVERLAY_FS = 0x794c7630;

/**
 * True when one of the lock files of a path is locked, and the folder at that path is not: the
 * holder opened another folder, or none. Compared by inode alone, since the list has another device
 * number for a subvolume. False where the list says nothing about such a folder.
 * @param folder at the path
 * @param files lock files of the path
 */
export function isHeldElsewhere(folder: string, files: readonly string[]): boolean {
  if (!files.some(isLocked)) return false;
  const stat = lookedAt(folder);
  if (!stat) return true;
  const inode = `:${stat.ino}`;
  return !isOverlay(folder) && !locked().some((id) => id.endsWith(inode));
}

function isOverlay(folder: string): boolean {
  try {
    return statfsSync(folder).type === OVERLAY_FS;
  } catch {
    return true; // it is unknown
  }
}

/** Device and inode of what is locked; none where there is no /proc. */
function locked(): string[] {
  try {
    const lines = readFileSync('/proc/locks', 'utf8').split('\n');
    const fields = lines.filter((line) => / FLOCK /.test(line)).map((line) => line.split(/\s+/));
    return fields.flatMap((words) =>
      words.filter((word) => /^[0-9a-f]+:[0-9a-f]+:\d+$/.test(word)),
    );
  } catch {
    return [];
  }
}

/** Also null for a path that this user may not read: then no lock can be found. */
function lookedAt(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}

/** Mark of a socket that takes connections (SO_ACCEPTCON). */
const LISTENS = '00010000';

/** False when no process listens on that socket; true where the kernel does not say. */
export function mayListen(socketPath: string): boolean {
  try {
    const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
    return lines.some((line) => line.endsWith(` ${socketPath}`) && line.includes(` ${LISTENS} `));
  } catch {
    return true;
  }
}
