/** Reads which files and folders are locked, from the list that the kernel keeps. */

import { readFileSync, statSync, type BigIntStats } from 'node:fs';

/**
 * True when the kernel lists a lock on this root, or on another file. For telling only: taking the
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
  try {
    const locks = readFileSync('/proc/locks', 'utf8').split('\n');
    return locks.some((line) => / FLOCK /.test(line) && line.split(/\s+/).includes(id));
  } catch {
    return false; // no /proc here
  }
}

/** Null also for what this user may not look at: it can tell no lock then. */
function lookedAt(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}
