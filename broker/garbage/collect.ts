/**
 * Sets up garbage collection. A broker with its own store gets one collector; a broker on an
 * external engine gets two (`attached/collect-from-engine.ts`). This file decides nothing.
 */

import type { Closers } from '../../shared/io/closers.ts';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { Log, PrunableChunkStore, WritableChunkStore } from '../../shared/base/ports.ts';
import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { allChunksOf, type ChunkReader } from '../../shared/formats/bundle-chunks.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { ControlStore } from '../control/control-store.ts';
import { GarbageCollector, type GarbagePlace, type NeededChunks } from './collector.ts';
import { TendedChunks } from './guarded-store.ts';
import type { GarbageView } from './ledger.ts';
import { GarbageBook } from './marks.ts';

export interface CollectOptions {
  readonly dataFolder: string;
  /** How long a chunk that no announced bundle needs is kept; null keeps it for ever. */
  readonly keepMs: number | null;
  /** Null when announcements cannot be verified: every chunk is then kept. */
  readonly trust: TrustRoot | null;
  readonly control: ControlStore;
  readonly store: PrunableChunkStore;
  readonly log: Log;
  readonly closers: Closers;
}

export interface Collecting {
  /** The store that everything else uses. It reports each use to the collector. */
  readonly chunks: WritableChunkStore;
  /** Reads a chunk from the store or, on an external engine, from there. */
  readonly read: ChunkReader;
  /** For a use that `chunks` has no method for: the chunk is not removed until `work` ends. */
  use<T>(hash: Sha256Hex, work: () => Promise<T>): Promise<T>;
  run(): void;
  announced(): void;
  views(): readonly GarbageView[];
}

/** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
export async function collectFromStore(options: CollectOptions): Promise<Collecting> {
  const { control, store, trust, closers } = options;
  const parts = await openParts(options, ['store']);
  if (!parts || !trust) return keepAll(store);
  const place = placeOf('store', store);
  const collector = await parts.open({
    place,
    needed: announcedChunks(control, trust, (hash) => store.get(hash)),
    isHeldBack: () => false,
    isPaused: () => false,
  });
  closers.with(collector);
  return {
    read: (hash) => store.get(hash),
    chunks: new TendedChunks(store, collector),
    use: (hash, work) => collector.use(hash, work),
    run: () => collector.run(),
    announced: () => collector.announced(),
    views: () => [collector.view()],
  };
}

type Open = (
  options: Pick<
    Parameters<typeof GarbageCollector.open>[0],
    'place' | 'needed' | 'isHeldBack' | 'isPaused'
  >,
) => Promise<GarbageCollector>;

/** Null when nothing is ever removed. */
export async function openParts(
  { dataFolder, keepMs, trust, log, closers }: CollectOptions,
  places: readonly GarbageView['place'][],
): Promise<{ book: GarbageBook; open: Open } | null> {
  const folder = join(dataFolder, 'garbage');
  if (keepMs === null || !trust) {
    if (!trust)
      log.info({}, 'no --trust: all chunks are kept, because it is unknown which are needed');
    // Without collection no use is recorded, so old marks would be wrong later.
    await rm(folder, { recursive: true, force: true });
    return null;
  }
  const book = closers.with(await GarbageBook.open(folder, places));
  const open: Open = async (options) =>
    await GarbageCollector.open({
      ...options,
      ...{ keepMs, log },
      marks: book.marksOf(options.place.name),
      uptimeMs: () => book.uptimeMs,
      saveUptime: () => book.saveUptime(),
    });
  return { book, open };
}

export function placeOf(name: GarbageView['place'], store: PrunableChunkStore): GarbagePlace {
  return {
    name,
    list: () => store.list(),
    remove: (hash, mayRemove) => store.remove(hash, mayRemove),
  };
}

export const keepAll = (chunks: WritableChunkStore): Collecting => ({
  chunks,
  read: (hash) => chunks.get(hash),
  use: (_hash, work) => work(),
  run: () => undefined,
  announced: () => undefined,
  views: () => [],
});

/** @param read reads a chunk of an announced bundle, wherever it is */
export function announcedChunks(
  control: ControlStore,
  trust: TrustRoot,
  read: ChunkReader,
): NeededChunks {
  const stored = (): Uint8Array | null => control.get(UPDATES_TOPIC)?.payload ?? null;
  return {
    basis: stored, // each stored value is an object of its own
    read: async () => {
      const bytes = stored();
      if (!bytes) throw new DroverError('NOT_FOUND', 'read what is announced: nothing is, yet');
      return await allChunksOf(openAnnouncement(bytes, trust).rollouts, read);
    },
  };
}
