/**
 * Finds the process that holds the lock of a root, for messages. The list of locks names a program
 * `flock`, which has ended, so the open files of all processes are searched. A user other than root
 * sees only its own processes.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { printable } from '../../shared/base/printable.ts';
import { isLocked } from './kernel-locks.ts';
import { realPathOf } from './path-lock.ts';

const COMMAND_CHARS_MAX = 120;

/** @returns a sentence about the holder of one of these paths; null when none is locked */
export function describeHolder(paths: readonly string[]): string | null {
  const held = paths.filter(isLocked);
  if (held.length === 0) return null;
  const names = new Set(held.map(realPathOf));
  const holder = processes().find((number) => hasOpen(number, names));
  if (holder === undefined) return 'drover-robot recover, an agent or another command holds it';
  const command = commandOf(holder);
  return `process ${holder} holds it: ${printable(command, COMMAND_CHARS_MAX)}`;
}

/** Numbers of the other processes; none where there is no /proc. */
function processes(): string[] {
  return list('/proc').filter((one) => /^\d+$/.test(one) && one !== String(process.pid));
}

function hasOpen(number: string, names: ReadonlySet<string>): boolean {
  const folder = `/proc/${number}/fd`;
  return list(folder).some((fd) => names.has(orEmpty(() => readlinkSync(`${folder}/${fd}`))));
}

const commandOf = (number: string): string =>
  orEmpty(() => readFileSync(`/proc/${number}/cmdline`, 'utf8'))
    .split('\0')
    .filter((word) => word !== '')
    .map((word, at) => (at === 0 ? word.slice(word.lastIndexOf('/') + 1) : word))
    .join(' ');

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // it has ended, or is of another user
  }
}

function orEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
