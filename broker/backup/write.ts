/**
 * Writes a backup of a data folder as a stream. Each database is read from a snapshot of the moment
 * when this begins, so everything acknowledged before is in it; later messages may be missing.
 * Chunks are listed after that moment: every chunk that an announcement of the backup needs was
 * stored before it. Memory holds one segment or one chunk, however slowly the stream is read.
 */

import type { Readable } from 'node:stream';
import { pack, type Pack } from 'tar-stream';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { addEntry } from '../../shared/io/tar-entry.ts';
import type { DatabaseSnapshot, Snapshotted } from '../control/durable-level.ts';
import {
  CHUNKS_FOLDER,
  END_ENTRY,
  encodeEnd,
  encodeHeader,
  encodeRecord,
  EntryDigest,
  HEADER_ENTRY,
  segmentEntry,
  type DatabaseRecord,
} from './format.ts';

export interface BackupSource {
  /** By the name of its folder below the data folder. */
  readonly databases: ReadonlyMap<string, Snapshotted>;
  readonly chunks: {
    list(): AsyncIterable<readonly Sha256Hex[]>;
    get(hash: Sha256Hex): Promise<Uint8Array | null>;
  };
}

export interface BackupOptions {
  readonly hasChunks: boolean;
  readonly now: EpochMs;
}

/** The stream fails when a store fails; without its last entry it is no backup. */
export function writeBackup(source: BackupSource, options: BackupOptions): Readable {
  const tar = pack();
  const snapshots = [...source.databases].map(
    ([name, database]) => [name, database.snapshot()] as const,
  );
  fillAndClose(tar, source, { ...options, snapshots }).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return tar as unknown as Readable;
}

interface BackupContents extends BackupOptions {
  readonly snapshots: readonly (readonly [string, DatabaseSnapshot])[];
}

async function fillAndClose(
  tar: Pack,
  source: BackupSource,
  contents: BackupContents,
): Promise<void> {
  try {
    await fill(tar, source, contents);
  } finally {
    // Also the snapshots that were not read yet, when the reader has left.
    for (const [, snapshot] of contents.snapshots) await snapshot.close();
  }
}

async function fill(tar: Pack, { chunks }: BackupSource, contents: BackupContents): Promise<void> {
  const digest = new EntryDigest();
  const mtime = new Date(contents.now);
  const add = async (name: string, bytes: Uint8Array): Promise<void> => {
    if (name !== END_ENTRY) digest.add(name, bytes);
    await addEntry(tar, { name, mtime, mode: 0o600 }, bytes);
  };
  await add(
    HEADER_ENTRY,
    encodeHeader({
      format: 1,
      created_at: mtime.toISOString(),
      databases: contents.snapshots.map(([name]) => name),
      has_chunks: contents.hasChunks,
    }),
  );
  for (const [name, entries] of contents.snapshots) {
    let at = 0;
    for await (const segment of segmentsOf(entries)) await add(segmentEntry(name, at++), segment);
  }
  if (contents.hasChunks) {
    for await (const hashes of chunks.list()) {
      for (const hash of hashes) {
        const bytes = await chunks.get(hash);
        // Removed meanwhile: no announced bundle needed it.
        if (bytes) await add(`${CHUNKS_FOLDER}/${hash}`, bytes);
      }
    }
  }
  await add(END_ENTRY, encodeEnd(digest.end));
}

async function* segmentsOf(entries: AsyncIterable<DatabaseRecord>): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const entry of entries) {
    const piece = encodeRecord(entry);
    pieces.push(piece);
    bytes += piece.byteLength;
    if (bytes < LIMITS.backupSegmentBytes) continue;
    yield Buffer.concat(pieces);
    [pieces, bytes] = [[], 0];
  }
  if (pieces.length > 0) yield Buffer.concat(pieces);
}
