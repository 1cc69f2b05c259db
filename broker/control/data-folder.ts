/**
 * The data folder as a whole: which databases it has, whether a restore of it was finished, and
 * whose it is. Root makes backups and restores for the user that the broker runs as; files of root
 * in there would keep that broker from starting.
 */

import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError, refusalOf } from '../../shared/base/errors.ts';

/** What a restore has not put in its place yet. */
export const RESTORING = 'restoring';
/** Copies that a repair has not put in their place yet. */
export const REPAIRING = 'repairing';
/** `garbage` counts since when chunks are not needed: a broker that comes back counts anew. */
const NOT_DATABASES: readonly string[] = ['chunks', 'garbage', RESTORING];

/**
 * Makes the folder when it is missing.
 * @throws DroverError DISK_FULL, DISK_READ_ONLY, FILE_UNREADABLE, RESTORE_UNFINISHED,
 *   REPAIR_UNFINISHED
 */
export async function openDataFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const code = refusalOf(cause)?.code;
    // The disk has codes of its own; what else is wrong with a path is to be looked at.
    const what = code?.startsWith('DISK_') ? code : 'FILE_UNREADABLE';
    throw new DroverError(what, `open data folder ${folder}: ${why}`, { cause });
  }
  const names = await namesIn(folder);
  if (names.includes(REPAIRING)) {
    throw new DroverError('REPAIR_UNFINISHED', `open data folder ${folder}: a repair was cut off`);
  }
  if (!names.includes(RESTORING)) return;
  throw new DroverError('RESTORE_UNFINISHED', `open data folder ${folder}: a restore was cut off`);
}

/** Names below the folder. @throws DroverError FILE_UNREADABLE */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read data folder ${folder}: ${why}`, { cause });
  }
}

/**
 * Names of all folders in it that hold files of LevelDB's, `CURRENT` or not: damaged ones too.
 * @throws DroverError FILE_UNREADABLE
 */
export async function leveldbsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await namesIn(folder)) {
    if (['chunks', RESTORING, REPAIRING].includes(name)) continue;
    if (!(await stat(join(folder, name))).isDirectory()) continue;
    if ((await namesIn(join(folder, name))).some(isOfLevel)) found.push(name);
  }
  return found.sort();
}

/** A name that LevelDB gives to its files. */
export const isOfLevel = (name: string): boolean =>
  name === 'CURRENT' || /^(?:MANIFEST-\d+|\d+\.(?:ldb|sst|log))$/.test(name);

export const isFolder = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** A name of one of its tables. */
export const isTable = (name: string): boolean => /\.(?:ldb|sst)$/.test(name);

/** Those of its logs. */
export const logsIn = (names: readonly string[]): string[] =>
  names.filter((name) => /^\d+\.log$/.test(name));

/** LevelDB numbers its files as it makes them. */
export const numberOf = (name: string): number => Number.parseInt(name, 10);

/** Names of the databases in it. @throws DroverError FILE_UNREADABLE */
export async function databasesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new DroverError('FILE_UNREADABLE', `read data folder ${folder}: ${String(cause)}`);
  });
  const found: string[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory() || NOT_DATABASES.includes(entry.name)) continue;
    // What makes a folder a database of LevelDB's.
    if ((await readdir(join(folder, entry.name))).includes('CURRENT')) found.push(entry.name);
  }
  return found.sort();
}

/** Root does the work as the owner of the folder; everybody else as who they are. */
export async function asOwnerOf<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const { geteuid, getegid, seteuid, setegid } = process;
  if (!geteuid || !getegid || !seteuid || !setegid || geteuid() !== 0) return await work();
  const { uid, gid } = await stat(folder);
  const group = getegid();
  setegid(gid);
  seteuid(uid);
  try {
    return await work();
  } finally {
    seteuid(0);
    setegid(group);
  }
}
