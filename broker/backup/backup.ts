/**
 * `drover-broker backup`: makes one file of a data folder, whether its broker runs or not. The file
 * gets a temporary name, is read back with the checks of a restore, and is renamed last: a backup
 * that was never read back proves nothing.
 */

import { countOf } from '../../shared/base/printable.ts';
import { createReadStream } from 'node:fs';
import { lstat, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { syncFolder } from '../../shared/io/atomic-file.ts';
import { removedOnSignal } from '../../shared/io/leftovers.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { callBackupDoor } from './backup-socket.ts';
import { FolderChunkStore } from '../chunks/chunk-store.ts';
import { asOwnerOf, databasesIn, openDataFolder } from '../control/data-folder.ts';
import { readBackup } from './read.ts';
import { diskCodeIn, DurableLevel, type Snapshotted } from '../control/durable-level.ts';
import { writeBackup } from './write.ts';

export interface BackupArgs {
  readonly data: string;
  readonly out: string;
  readonly hasChunks: boolean;
  readonly json: boolean;
}

/**
 * @throws DroverError FILE_EXISTS, FILE_UNREADABLE, FILE_REFUSED, RESTORE_UNFINISHED, DATA_LOCKED,
 *   BACKUP_BUSY, BROKER_UNREACHABLE, BACKUP_DAMAGED, DISK_FULL, DISK_READ_ONLY
 */
export async function runBackup({ data, out, hasChunks, json }: BackupArgs): Promise<void> {
  const beside = `${out}.partial`;
  const handle = await createBeside(out, beside);
  const isWhole = removedOnSignal(beside);
  try {
    const isOnline = await asOwnerOf(data, () => takeBackup({ handle, out }, data, hasChunks));
    await writing(out, () => handle.sync());
    const counts = await countParts(beside);
    await writing(out, async () => {
      await rename(beside, out);
      await syncFolder(dirname(out));
    });
    makeOutput(json).result({ file: out, online: isOnline, ...counts }, [
      `${out}: ${countOf(counts.records, 'record')} and ${countOf(counts.chunks, 'chunk')}, written and checked`,
    ]);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  } finally {
    isWhole();
    await handle.close();
  }
}

async function createBeside(out: string, beside: string): Promise<FileHandle> {
  const isThere = await lstat(out).then(
    () => true,
    () => false, // or the socket cannot be checked: opening it says why
  );
  if (isThere) {
    const hint = 'name another file with --out: a backup is never overwritten';
    throw new DroverError('FILE_EXISTS', `write backup ${out}: it is there already`, { hint });
  }
  return await writing(out, async () => {
    await rm(beside, { force: true }); // left by a backup that was killed
    return await open(beside, 'wx', 0o600);
  });
}

/** Runs a write to the new file and gives its failure a code, such as DISK_FULL. */
async function writing<T>(out: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const code = diskCodeIn(cause) ?? 'FILE_UNREADABLE';
    throw new DroverError(code, `write backup ${out}: ${why}`, { cause });
  }
}

interface OutFile {
  readonly handle: FileHandle;
  readonly out: string;
}

/** A failure of the source is thrown unchanged: only a failed write is about this disk. */
async function fill({ handle, out }: OutFile, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of pieces) await writing(out, () => handle.appendFile(piece));
}

async function* told(online: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* online;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('BROKER_UNREACHABLE', `read from the broker: ${why}`, {
      cause,
      hint: 'the broker ended it: its log says why (backup not finished); then try again',
    });
  }
}

/** True when a running broker sent it. */
async function takeBackup(file: OutFile, dataFolder: string, hasChunks: boolean): Promise<boolean> {
  const online = await callBackupDoor(dataFolder, hasChunks);
  if (online) {
    await fill(file, told(online));
    return true;
  }
  const databases = new Map<string, Snapshotted & { close(): Promise<void> }>();
  const names = await databasesIn(dataFolder);
  if (names.length === 0) {
    throw new DroverError('FILE_UNREADABLE', `back up ${dataFolder}: no broker was ever here`);
  }
  await openDataFolder(dataFolder);
  try {
    for (const name of names) {
      databases.set(name, await DurableLevel.open(join(dataFolder, name), 'utf8'));
    }
    const chunks = await FolderChunkStore.open({
      folder: join(dataFolder, 'chunks'),
      bytesMax: Number.POSITIVE_INFINITY,
    });
    await fill(file, writeBackup({ databases, chunks }, { hasChunks, now: Date.now() }));
    await chunks.whenCounted();
  } finally {
    for (const database of databases.values()) await database.close();
  }
  return false;
}

async function countParts(file: string): Promise<{ records: number; chunks: number }> {
  const counts = { records: 0, chunks: 0 };
  for await (const part of readBackup(createReadStream(file), file)) {
    if (part.kind === 'records') counts.records += part.records.length;
    if (part.kind === 'chunk') counts.chunks += 1;
  }
  return counts;
}
