/**
 * The data folder as a whole: its databases, whether a restore of it was finished, and its owner.
 * Root makes backups and restores for the user that the broker runs as; files owned by root would
 * keep that broker from starting.
 */

import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError, refusalOf } from '../../shared/base/errors.ts';

/** Holds an unfinished restore. */
export const RESTORING = 'restoring';
/** Holds an unfinished repair. */
export const REPAIRING = 'repairing';
/** `garbage` counts since when chunks are not needed: a restored broker starts that count again. */
const NOT_DATABASES: readonly string[] = ['chunks', 'garbage', RESTORING];

/**
 * Creates the folder when it is missing.
 * @throws DroverError DISK_FULL, DISK_READ_ONLY, FILE_UNREADABLE, RESTORE_UNFINISHED,
 *   REPAIR_UNFINISHED
 */
export async function openDataFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const code = refusalOf(cause)?.code;
    // Disk errors have codes of their own; anything else wrong with a path is FILE_UNREADABLE.
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
 * Names of all folders with files of LevelDB, with or without `CURRENT`: damaged ones too.
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

/** A file name of LevelDB. */
export const isOfLevel = (name: string): boolean =>
  name === 'CURRENT' || /^(?:MANIFEST-\d+|\d+\.(?:ldb|sst|log))$/.test(name);

export const isFolder = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** A name of a LevelDB table. */
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
    // This file makes a folder a LevelDB database.
    if ((await readdir(join(folder, entry.name))).includes('CURRENT')) found.push(entry.name);
  }
  return found.sort();
}

/** Root does the work as the owner of the folder; any other user as itself. */
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
