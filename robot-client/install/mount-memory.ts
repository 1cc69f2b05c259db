/**
 * Remembers outside of a root where its file system is mounted, so that a start before that is
 * mounted does not take the bare mount point for a new robot. A memory that cannot be read or
 * written is none: then the robot does what it did without.
 */

import { statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { isMountMissing, mountPointOn, type OwnFolders, type Way } from './outside-root.ts';
import { nameOfPath, pathsOf, realPathOf } from './path-lock.ts';
import { readPlainNow } from './small-file.ts';

const NOTE = z.object({ root: z.string(), mounted_at: z.string() });

const fileOf = (memory: string, path: string): string =>
  `${memory}/mounts/${nameOfPath(path)}.json`;

/**
 * Why a root must be left alone: its file system is not mounted. Null when it is, or when unknown.
 */
export function notMounted(root: string, { memory }: OwnFolders): DroverError | null {
  if (memory === null) return null;
  const now = mountPointOn(wayTo(realPathOf(root)));
  for (const path of pathsOf(root)) {
    const file = fileOf(memory, path);
    const remembered = readNote(file);
    if (remembered === null) continue;
    if (!isMountMissing({ remembered, now, isMounted: isMountPoint(remembered) })) continue;
    const why = `nothing is mounted at ${remembered}, which held it before (as ${file} says)`;
    const hint = `mount ${remembered}: the agent goes on by itself; if the root is to stand on the disk below from now on, remove ${file}`;
    return new DroverError('ROOT_NOT_MOUNTED', `use ${root}: ${why}`, { hint });
  }
  return null;
}

/** Notes the mount that holds a root. One on the file system of `/` needs none. Never rejects. */
export async function rememberMount(root: string, { memory }: OwnFolders): Promise<void> {
  if (memory === null) return;
  try {
    const mountedAt = mountPointOn(wayTo(realPathOf(root)));
    if (mountedAt === '/') return;
    for (const path of pathsOf(root)) {
      const file = fileOf(memory, path);
      if (readNote(file) === mountedAt) continue;
      await writeNote(file, { root: path, mounted_at: mountedAt });
    }
  } catch {
    // read-only or full: as on a robot that has no such folder
  }
}

function readNote(file: string): string | null {
  try {
    return z.parse(NOTE, JSON.parse(readPlainNow(file).toString('utf8'))).mounted_at;
  } catch {
    return null;
  }
}

async function writeNote(file: string, note: z.infer<typeof NOTE>): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, `${JSON.stringify(note)}\n`, 0o600);
}

function wayTo(path: string): Way {
  const above = dirname(path);
  const rest = above === path ? [] : wayTo(above);
  return [...rest, { path, device: deviceOf(path) }];
}

const isMountPoint = (path: string): boolean => {
  const device = deviceOf(path);
  return device !== null && device !== deviceOf(dirname(path));
};

/** The dot makes an automounter mount what belongs there. Null for what is absent. */
function deviceOf(path: string): string | null {
  try {
    return String(statSync(`${path}/.`, { bigint: true }).dev);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR' ? null : 'unreadable'; // opening it reports why
  }
}
