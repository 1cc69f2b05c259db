/**
 * `drover-broker backup`: one file of a data folder, whether its broker runs or not. It is written
 * beside, read back and checked as a restore would, and only then gets its name: a backup that
 * nobody has read is a hope.
 */

import { createReadStream } from 'node:fs';
import { lstat, open, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { syncFolder } from '../../shared/io/atomic-file.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { callBackupDoor } from './backup-socket.ts';
import { FolderChunkStore } from '../chunks/chunk-store.ts';
import { asOwnerOf, databasesIn, openDataFolder } from '../control/data-folder.ts';
import { readBackup } from './read.ts';
import { SteadyDatabase } from '../control/durable-level.ts';
import { writeBackup, type Snapshotted } from './write.ts';

export interface BackupArgs {
  readonly data: string;
  readonly out: string;
  readonly hasChunks: boolean;
  readonly json: boolean;
}

/**
 * @throws DroverError FILE_EXISTS, FILE_UNREADABLE, RESTORE_UNFINISHED, DATA_LOCKED,
 *   BROKER_UNREACHABLE, BACKUP_DAMAGED
 */
export async function runBackup({ data, out, hasChunks, json }: BackupArgs): Promise<void> {
  const beside = `${out}.partial`;
  const handle = await createBeside(out, beside);
  try {
    const isOnline = await asOwnerOf(data, () => takeBackup(handle, data, hasChunks));
    await handle.sync();
    const counts = await countParts(beside);
    await rename(beside, out);
    await syncFolder(dirname(out));
    makeOutput(json).result({ file: out, online: isOnline, ...counts }, [
      `${out}: ${counts.records} records and ${counts.chunks} chunks, written and checked`,
    ]);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

async function createBeside(out: string, beside: string): Promise<FileHandle> {
  const isThere = await lstat(out).then(
    () => true,
    () => false, // or it cannot be looked at: opening says why
  );
  if (isThere) {
    const hint = 'name another file with --out: a backup is never overwritten';
    throw new DroverError('FILE_EXISTS', `write backup ${out}: it is there already`, { hint });
  }
  try {
    await rm(beside, { force: true }); // of a backup that was killed
    return await open(beside, 'wx', 0o600);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `write backup ${out}: ${why}`, { cause });
  }
}

/** True when a broker that runs gave it. */
async function takeBackup(
  handle: FileHandle,
  dataFolder: string,
  hasChunks: boolean,
): Promise<boolean> {
  const online = await callBackupDoor(dataFolder, hasChunks);
  if (online) {
    await writeFile(handle, online).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DroverError('BROKER_UNREACHABLE', `read from the broker: ${why}`, { cause });
    });
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
      databases.set(name, await SteadyDatabase.open(join(dataFolder, name), 'utf8'));
    }
    const chunks = await FolderChunkStore.open({
      folder: join(dataFolder, 'chunks'),
      bytesMax: Number.POSITIVE_INFINITY,
    });
    await writeFile(handle, writeBackup({ databases, chunks }, { hasChunks, now: Date.now() }));
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
