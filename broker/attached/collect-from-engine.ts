/**
 * Sets up garbage collection on an external engine: one collector for the chunks that the engine
 * retains, one for the copies that the broker keeps of them. This file decides nothing.
 */

import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { ChunkReader } from '../../shared/formats/bundle-chunks.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { ReadBackLink } from '../../shared/io/read-back.ts';
import {
  announcedChunks,
  keepAll,
  openParts,
  placeOf,
  type Collecting,
  type CollectOptions,
} from '../garbage/collect.ts';
import { TendedChunks } from '../garbage/guarded-store.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';
import { engineChunks, HeldChunks, readFromEngine } from './engine-chunks.ts';

export interface CollectFromEngineOptions extends CollectOptions {
  readonly trust: TrustRoot;
  readonly profile: EngineProfile;
  /** @throws DroverError BROKER_UNREACHABLE before the first connection */
  link(): ReadBackLink;
  /** True once the announcements that the engine retains were read. */
  isSettled(): boolean;
}

export interface CollectingFromEngine extends Collecting {
  /** Reports that the engine holds this chunk. */
  held(hash: Sha256Hex): void;
  /** Resolves when no removal of this chunk is under way. */
  wanted(hash: Sha256Hex): Promise<void>;
  /** Resolves when no removal is under way of a chunk that an announced bundle needs. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
export async function collectFromEngine(
  options: CollectFromEngineOptions,
): Promise<CollectingFromEngine> {
  const { control, store, trust, profile, log, link, isSettled } = options;
  const reading = { copies: store, profile, link };
  const read: ChunkReader = (hash) => readFromEngine(hash, reading);
  const parts = await openParts(options, ['engine', 'copies']);
  if (!parts) return { ...keepAll(store), ...NO_ENGINE, read };
  const common = {
    needed: announcedChunks(control, trust, read),
    isPaused: () => !isSettled(),
  };
  const { book } = parts;
  const held = profile.keepsGarbage ? await HeldChunks.open(book, log, store.list()) : null;
  const copies = await parts.open({
    ...common,
    place: placeOf('copies', store),
    isHeldBack: (hash) => held?.has(hash) === true,
  });
  const chunks = new TendedChunks(store, copies);
  const place = held && engineChunks(held, { ...reading, copies: chunks });
  const engine = place && (await parts.open({ ...common, place, isHeldBack: () => false }));
  const collectors = engine ? [copies, engine] : [copies];
  return {
    chunks,
    read,
    use: (hash, work) => copies.use(hash, work),
    run: () => collectors.forEach((one) => one.run()),
    announced: () => collectors.forEach((one) => one.announced()),
    views: () => collectors.map((one) => one.view()),
    held: (hash) => held?.note(hash),
    wanted: async (hash) => await engine?.touch(hash),
    settled: async () => await engine?.settled(),
    close: async () => {
      for (const one of collectors) await one.close();
    },
  };
}

const NO_ENGINE = {
  held: () => undefined,
  wanted: () => Promise.resolve(),
  settled: () => Promise.resolve(),
  close: () => Promise.resolve(),
} as const;
