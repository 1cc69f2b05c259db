/**
 * Checks the files of a LevelDB before it is opened. LevelDB ignores much damage, creates an empty
 * database when its head is missing, and then removes the files that would show the damage.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { isFolder, isOfLevel, isTable, logsIn } from './data-folder.ts';
import { hasHole } from './log-check.ts';
import { missingOfLog } from './log-tally.ts';
import { isWholeTable } from './table-check.ts';

const FIRST_MANIFEST = 'MANIFEST-000001';

/**
 * Without `CURRENT` LevelDB creates an empty database and removes the files of the old one. When
 * `CURRENT` names a missing file, it only says that this file is missing.
 * @throws DroverError DATABASE_DAMAGED
 */
export async function assertNotHeadless(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  if (!names.some(isOfLevel)) return;
  if (!names.includes('CURRENT')) throw damaged(folder, 'its file CURRENT is missing');
  if (await isFolder(join(folder, 'CURRENT'))) throw damaged(folder, 'its CURRENT is a folder');
  const current = await readFile(join(folder, 'CURRENT'), 'latin1').catch(() => null);
  if (current === null) return; // LevelDB says why it cannot be read
  if (/^MANIFEST-\d+\n$/.test(current)) return;
  throw damaged(folder, 'its file CURRENT names no MANIFEST');
}

/**
 * Between two opens there is always a log, empty or not. Only a kill while the first manifest is
 * made leaves none.
 * @throws DroverError DATABASE_DAMAGED
 */
export async function assertLogsWhole(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const logs = logsIn(names);
  const isBegun = names.some((name) => name.startsWith('MANIFEST-') && name !== FIRST_MANIFEST);
  if (isBegun && logs.length === 0) throw damaged(folder, 'its log is missing');
  for (const name of logs) {
    const log = await readFile(join(folder, name)).catch(() => null);
    if (log && hasHole(log)) throw damaged(folder, `a record within ${name} is broken`);
  }
  const missing = isBegun ? await missingOfLog(folder) : null;
  if (missing !== null) throw damaged(folder, missing);
}

/** Returns the names of tables whose checksums are wrong; unreadable tables are left out. */
export async function brokenTables(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const broken: string[] = [];
  for (const name of names.filter(isTable)) {
    const table = await readFile(join(folder, name)).catch(() => null);
    if (table && !isWholeTable(table)) broken.push(name);
  }
  return broken;
}

export const damaged = (folder: string, why: string, cause?: unknown): DroverError =>
  new DroverError('DATABASE_DAMAGED', `open ${folder}: the database is damaged: ${why}`, { cause });
