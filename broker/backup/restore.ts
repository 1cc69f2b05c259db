/**
 * `drover-broker restore`: makes a data folder from a backup, complete or not at all. The folder is
 * built below `restoring/`, verified to the end, and moved up; a broker refuses a folder that still
 * contains `restoring/`. A backup is old, so the restored broker must not act on it as if it were
 * current:
 *
 * - Rollouts that were rolling are paused. One of them may have been halted since, and would move
 *   robots forward again that went back. An operator who knows better says `resume`.
 * - The lease begins at a term above every term that the lost broker can have used, so that robots
 *   believe the restored broker, and nothing that the lost one may still publish.
 * - Claims that were open are revoked: one of them may have been used since the backup, by a robot
 *   or by a thief. Robots that enrolled since are not known here and need a new claim. Credentials
 *   that were revoked since are good again: the command says so.
 * - The names by which an engine and other controllers knew the lost broker are not restored: that
 *   broker may still run, and two with one name would end each other's connection.
 */

import { countOf } from '../../shared/base/printable.ts';
import { mkdir, open, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { DroverError } from '../../shared/base/errors.ts';
import { syncFolder } from '../../shared/io/atomic-file.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import { EventJournal } from '../attached/event-journal.ts';
import { AUDIT_DATABASE, AuditLog } from '../audit/audit-log.ts';
import { gap } from '../audit/decision.ts';
import { FolderChunkStore } from '../chunks/chunk-store.ts';
import { asOwnerOf, namesIn, openDataFolder, RESTORING } from '../control/data-folder.ts';
import { DurableLevel, type Operation } from '../control/durable-level.ts';
import { Enrolment, ENROLMENT_DATABASE } from '../enrolment/enrolment.ts';
import { afterRestore } from '../enrolment/records.ts';
import { termAt } from '../../shared/rules/freshness.ts';
import { LevelRolloutStore } from '../rollout/store.ts';
import { pauseRestored } from '../rollout/takeover.ts';
import { readBackup } from './read.ts';

export interface RestoreArgs {
  readonly file: string;
  readonly data: string;
  readonly json: boolean;
}

interface Restored {
  readonly created_at: string;
  readonly records: number;
  readonly chunks: number;
  readonly has_chunks: boolean;
  readonly paused: readonly string[];
  /** Claims that were open in the backup: they may have been used since. */
  readonly claims_revoked: number;
  /** Robots that are enrolled in the backup: one of them may have been revoked since. */
  readonly enrolled: number;
}

/** @throws DroverError FILE_UNREADABLE, DATA_NOT_EMPTY, RESTORE_UNFINISHED, BACKUP_DAMAGED */
export async function runRestore({ file, data, json }: RestoreArgs): Promise<void> {
  const input = await openInput(file);
  await openDataFolder(data);
  if ((await namesIn(data)).length > 0) {
    input.destroy();
    throw new DroverError('DATA_NOT_EMPTY', `restore ${data}: there is something in it`);
  }
  const restored = await asOwnerOf(data, () => restoreInto(data, input, file));
  const paused = restored.paused.map((id) => `paused: look, then drover rollout resume ${id}`);
  const claims =
    restored.claims_revoked === 0
      ? []
      : [
          `${countOf(restored.claims_revoked, 'claim that was open is', 'claims that were open are')} void: drover-broker enrol --replace`,
        ];
  const enrolled =
    restored.enrolled === 0
      ? []
      : [
          `${countOf(restored.enrolled, 'robot')} that enrolled before ${restored.created_at} can log in again, also those revoked since: drover-broker enrol list, enrol revoke ID`,
        ];
  const chunks = restored.has_chunks
    ? countOf(restored.chunks, 'chunk')
    : 'no chunks: publish the bundles again, or give it an --upstream';
  makeOutput(json).result({ data, ...restored }, [
    `${data}: as it was on ${restored.created_at}, ${restored.records} records, ${chunks}`,
    ...paused,
    ...claims,
    ...enrolled,
  ]);
}

async function openInput(file: string): Promise<Readable> {
  try {
    // Opened as the calling user, before anything is done as the owner of the folder.
    return (await open(file, 'r')).createReadStream();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read backup ${file}: ${why}`, { cause });
  }
}

async function restoreInto(data: string, input: Readable, file: string): Promise<Restored> {
  const below = join(data, RESTORING);
  await mkdir(below);
  const restored = await unpack(below, input, file).catch(async (error: unknown) => {
    await rm(below, { recursive: true, force: true });
    throw error;
  });
  await syncFolder(below);
  for (const name of (await namesIn(below)).sort())
    await rename(join(below, name), join(data, name));
  await syncFolder(data);
  await rmdir(below); // from here on a broker may start on this folder
  await syncFolder(data);
  return restored;
}

interface Unpacking {
  readonly below: string;
  readonly databases: Map<string, DurableLevel>;
  readonly chunks: FolderChunkStore;
}

async function unpack(below: string, input: Readable, file: string): Promise<Restored> {
  const folder = join(below, 'chunks');
  const chunks = await FolderChunkStore.open({ folder, bytesMax: Number.POSITIVE_INFINITY });
  const databases = new Map<string, DurableLevel>();
  const unpacking = { below, databases, chunks };
  const counts = { created_at: '', has_chunks: false, records: 0, chunks: 0 };
  try {
    for await (const part of readBackup(input, file)) {
      if (part.kind === 'header') {
        counts.created_at = new Date(part.header.created_at).toISOString();
        counts.has_chunks = part.header.has_chunks;
        await openDatabases(unpacking, part.header.databases);
      } else if (part.kind === 'chunk') {
        await chunks.put(part.hash, part.bytes);
        counts.chunks += 1;
      } else {
        await putRecords(databases.get(part.database), part.records);
        counts.records += part.records.length;
      }
    }
  } finally {
    for (const database of databases.values()) await database.close();
  }
  const names = [...databases.keys()];
  const paused = await becomeAnother(below, names, counts.created_at);
  if (names.includes(AUDIT_DATABASE)) await recordRestore(below, counts.created_at);
  return { ...counts, paused, ...(await revokeClaims(below, names)) };
}

async function openDatabases({ below, databases }: Unpacking, names: string[]): Promise<void> {
  for (const name of names) {
    databases.set(name, await DurableLevel.open(join(below, name), 'utf8'));
  }
}

async function putRecords(
  database: DurableLevel | undefined,
  records: readonly (readonly [string, Uint8Array])[],
): Promise<void> {
  const operations = records.map(([key, value]): Operation => {
    return { type: 'put', key, value, valueEncoding: 'view' };
  });
  await database?.batch(operations, { sync: true });
}

/** The chain names its gap: decisions after the backup are not in it. */
async function recordRestore(below: string, backupAt: string): Promise<void> {
  const log = makeCommandLog('drover-broker');
  const audit = await AuditLog.open({ dataFolder: below, log, now: Date.now });
  try {
    const text = `restored from a backup of ${backupAt}: decisions since then are not in this chain`;
    await audit.note(gap(text, { backup: backupAt }));
  } finally {
    await audit.close();
  }
}

/** @returns how many, and how many robots are enrolled */
async function revokeClaims(
  below: string,
  databases: readonly string[],
): Promise<Pick<Restored, 'claims_revoked' | 'enrolled'>> {
  if (!databases.includes(ENROLMENT_DATABASE)) return { claims_revoked: 0, enrolled: 0 };
  const log = makeCommandLog('drover-broker');
  const enrolment = await Enrolment.open({ folder: join(below, ENROLMENT_DATABASE), log });
  try {
    const enrolled = enrolment.list().filter((one) => one.enrolled).length;
    return { claims_revoked: await enrolment.changeAll(afterRestore), enrolled };
  } finally {
    await enrolment.close();
  }
}

/** @returns the rollouts that wait for an operator now */
async function becomeAnother(
  below: string,
  databases: readonly string[],
  backupAt: string,
): Promise<string[]> {
  if (databases.includes('journal')) {
    const journal = await EventJournal.open(join(below, 'journal'));
    try {
      await journal.forgetClientId();
    } finally {
      await journal.close();
    }
  }
  if (!databases.includes('rollouts')) return [];
  const store = await LevelRolloutStore.open(
    join(below, 'rollouts'),
    makeCommandLog('drover-broker'),
  );
  try {
    const now = Date.now();
    await store.becomeAnother(termAt(now));
    const paused: string[] = [];
    for (const { run: kept } of (await store.load()).values()) {
      const run = { ...kept, signedSinceMs: now };
      const step = pauseRestored(run, { backupAt, at: new Date(now).toISOString() });
      const audit = step ? [step.audit] : [];
      await store.save({ run: step?.run ?? run, audit, isDecision: true });
      if (step) paused.push(run.rollout);
    }
    return paused.sort();
  } finally {
    await store.close();
  }
}
