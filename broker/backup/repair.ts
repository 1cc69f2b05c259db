/**
 * `drover-broker repair`: makes damaged databases readable again with LevelDB's own repair. It
 * works on a copy and puts that in place only after every record of it was read. The damaged folder
 * is kept below `damaged/`. A broker refuses a folder with an unfinished repair.
 * The repaired data may be older than what robots received, so a controller continues in a term
 * above every term that may have been used.
 */

import { countOf } from '../../shared/base/printable.ts';
import { cp, mkdir, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { syncFolder } from '../../shared/io/atomic-file.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import { parseTopic } from '../../shared/formats/topics.ts';
import { termAt } from '../../shared/rules/freshness.ts';
import {
  asOwnerOf,
  isFolder,
  isTable,
  leveldbsIn,
  namesIn,
  REPAIRING,
  RESTORING,
} from '../control/data-folder.ts';
import { LevelRolloutStore } from '../rollout/store.ts';
import { diskCodeIn, repairLevel, DurableLevel } from '../control/durable-level.ts';
import { brokenTables } from '../control/level-files.ts';
import { dropTally } from '../control/log-tally.ts';

export interface RepairArgs {
  readonly data: string;
  readonly json: boolean;
}

interface Examined {
  readonly database: string;
  readonly status: 'whole' | 'repaired';
  readonly records: number;
  /** Where the damaged folder is kept; null when it was whole. */
  readonly kept: string | null;
  /** Files of it that could not be read at all. */
  readonly lostFiles: readonly string[];
  /** Its usable content, for people. */
  readonly holds: string;
}

const DAMAGED = 'damaged';
const LOST = 'lost'; // LevelDB's name for what its repair could not read

/** @throws DroverError FILE_UNREADABLE, DATA_LOCKED, RESTORE_UNFINISHED, REPAIR_FAILED, DISK_FULL */
export async function runRepair({ data, json }: RepairArgs): Promise<void> {
  const names = await namesIn(data);
  if (names.includes(RESTORING)) {
    throw new DroverError('RESTORE_UNFINISHED', `repair ${data}: a restore was cut off`);
  }
  const done = await asOwnerOf(data, () => repairFolder(data, names.includes(REPAIRING)));
  makeOutput(json).result({ data, databases: done.map(fieldsOf) }, done.flatMap(linesOf));
}

/** The work of the command. @throws DroverError as `runRepair` */
export async function repairFolder(data: string, wasCutOff: boolean): Promise<Examined[]> {
  if (wasCutOff) await finishCutOff(data);
  const names = await leveldbsIn(data);
  if (names.length === 0) {
    throw new DroverError('FILE_UNREADABLE', `repair ${data}: no database of a broker is in it`);
  }
  // The lock of each is taken before the first is touched.
  const found: (Examined | { database: string; problem: DroverError })[] = [];
  for (const name of names) found.push(await examine(data, name));
  const done: Examined[] = [];
  for (const one of found) {
    done.push('problem' in one ? await repairOne(data, one.database) : one);
  }
  // A repair that was cut off may have begun this way.
  if (wasCutOff || done.some(({ status }) => status === 'repaired'))
    await goOnFromAbove(data, names);
  await rm(join(data, REPAIRING), { recursive: true, force: true });
  return done;
}

/** The copy was complete when the damaged folder was moved away: it takes its place. */
async function finishCutOff(data: string): Promise<void> {
  const present = await namesIn(data);
  for (const name of await namesIn(join(data, REPAIRING))) {
    if (!present.includes(name)) await rename(join(data, REPAIRING, name), join(data, name));
  }
  await rm(join(data, REPAIRING), { recursive: true, force: true });
  await syncFolder(data);
}

async function examine(data: string, database: string) {
  try {
    return { ...(await readAll(join(data, database), database)), status: 'whole' as const };
  } catch (error) {
    if (!(error instanceof DroverError) || error.code !== 'DATABASE_DAMAGED') throw error;
    return { database, problem: error };
  }
}

/** Reads every record of it once. */
async function readAll(folder: string, database: string): Promise<Omit<Examined, 'status'>> {
  const level = await DurableLevel.open(folder, 'view');
  const counts = { records: 0, robots: 0, rollouts: 0, decisions: 0, announcement: false };
  try {
    for await (const [key] of level.entries()) {
      counts.records += 1;
      const topic = database === 'control' ? parseTopic(key) : null;
      if (topic?.kind === 'robot' && topic.leaf === 'state') counts.robots += 1;
      if (topic?.kind === 'updates') counts.announcement = true;
      if (database !== 'rollouts') continue;
      if (key.startsWith('run/')) counts.rollouts += 1;
      if (key.startsWith('audit/')) counts.decisions += 1;
    }
  } finally {
    await level.close();
  }
  const holds = holdsText(database, counts);
  return { database, records: counts.records, kept: null, lostFiles: [], holds };
}

function holdsText(
  database: string,
  counts: { robots: number; rollouts: number; decisions: number; announcement: boolean },
): string {
  const { robots, rollouts, decisions, announcement } = counts;
  if (database === 'rollouts')
    return `${countOf(rollouts, 'rollout')}, ${countOf(decisions, 'decision')}`;
  if (database !== 'control') return '';
  const announced = announcement ? 'the announcement' : 'NO announcement: publish again';
  return `${announced}, reports of ${countOf(robots, 'robot')}`;
}

async function repairOne(data: string, database: string): Promise<Examined> {
  const original = join(data, database);
  const copy = join(data, REPAIRING, database);
  try {
    await assertRoom(original);
    await mkdir(join(data, REPAIRING), { recursive: true });
    await cp(original, copy, { recursive: true });
    await dropTally(copy); // a log that was cut stays so: what can be read is what there is
    await setAsideBroken(copy);
    await repairLevel(copy);
    const read = await readAll(copy, database);
    const lostFiles = await lostTables(copy);
    await syncFolder(copy);
    const kept = join(DAMAGED, `${new Date().toISOString().replaceAll(':', '-')}-${database}`);
    await mkdir(join(data, DAMAGED), { recursive: true });
    await rename(original, join(data, kept));
    await rename(copy, original);
    await syncFolder(data);
    return { ...read, status: 'repaired', kept, lostFiles };
  } catch (cause) {
    await rm(join(data, REPAIRING), { recursive: true, force: true });
    throw repairFailure(original, cause);
  }
}

/**
 * LevelDB's repair ignores a failed write, so room is checked first: for the copy, and for what is
 * written from it again.
 * @throws DroverError DISK_FULL
 */
async function assertRoom(folder: string): Promise<void> {
  let bytes: number = LIMITS.databaseRoomBytes;
  for (const name of await readdir(folder)) {
    bytes += 2 * (await stat(join(folder, name)).then(({ size }) => size));
  }
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const [got, want] = [formatBytes(bavail * bsize), formatBytes(bytes)];
  throw new DroverError('DISK_FULL', `not enough room for a copy (got ${got}, want ${want})`);
}

/** LevelDB would read changed values from them, or end this process. */
async function setAsideBroken(folder: string): Promise<void> {
  const broken = await brokenTables(folder);
  // LevelDB writes another CURRENT, but not over a folder.
  if (await isFolder(join(folder, 'CURRENT'))) broken.push('CURRENT');
  for (const name of broken) {
    await mkdir(join(folder, LOST), { recursive: true });
    await rename(join(folder, name), join(folder, LOST, name));
  }
}

/**
 * LevelDB moves old logs and manifests away as well, after reading all of them: only tables count.
 */
async function lostTables(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, LOST)).catch(() => [] as string[]);
  return names.filter(isTable);
}

function repairFailure(folder: string, cause: unknown): DroverError {
  const why = toProblem(cause).message;
  const said = cause instanceof DroverError ? cause.code : diskCodeIn(cause);
  if (said === 'DISK_READ_ONLY') {
    return new DroverError(said, `repair ${folder}: nothing was changed: ${why}`, { cause });
  }
  if (said === 'DISK_FULL') {
    const hint = 'make room for a copy of the folder, then run drover-broker repair again';
    return new DroverError('DISK_FULL', `repair ${folder}: nothing was changed: ${why}`, {
      cause,
      hint,
    });
  }
  const text = cause instanceof DroverError ? why : String(cause);
  return new DroverError('REPAIR_FAILED', `repair ${folder}: nothing was changed: ${text}`, {
    cause,
  });
}

/** The used terms may be among the lost records. */
async function goOnFromAbove(data: string, names: readonly string[]): Promise<void> {
  if (!names.includes('rollouts')) return;
  const store = await LevelRolloutStore.open(
    join(data, 'rollouts'),
    makeCommandLog('drover-broker'),
  );
  try {
    await store.becomeAnother(termAt(Date.now()));
  } finally {
    await store.close();
  }
}

const fieldsOf = ({ lostFiles, ...one }: Examined): object => ({ ...one, lost_files: lostFiles });

function linesOf({ database, status, records, kept, lostFiles, holds }: Examined): string[] {
  const what = holds === '' ? '' : ` (${holds})`;
  if (status === 'whole') return [`${database}: whole, ${records} records${what}`];
  const lost =
    lostFiles.length === 0
      ? 'what was in damaged blocks, if anything, is lost'
      : `lost: ${lostFiles.length} tables that could not be read`;
  return [
    `${database}: repaired, ${records} records could be read${what}; ${lost}`,
    `  the damaged folder is kept as ${kept}: remove it when all is well`,
  ];
}
