/**
 * Lists the chunks of an announced bundle: the index of each artifact and all chunks in the index.
 * Every program that checks, carries or removes chunks uses this list, so that a new kind of
 * artifact is known to all of them at once. It must never leave a chunk out: a broker removes what
 * is not listed. Sans-I/O.
 */

import type { Artifact, StoredFile } from './announcement.ts';
import { parseChunkIndex } from '../transfer/chunk-index.ts';
import { DroverError } from '../base/errors.ts';
import { shortHash, type Sha256Hex } from '../base/ids.ts';

/** A full payload or a delta, each with an index of its own. */
export interface ChunkedBundle {
  readonly id: string;
  readonly artifacts: readonly Artifact[];
  /** Stored like artifacts; the loss of one stops no robot. */
  readonly attachments: readonly StoredFile[];
}

/** The bytes at a content address; null when they are not there. */
export type ChunkReader = (hash: Sha256Hex) => Promise<Uint8Array | null>;

/** Indexes of the artifacts that robots pull. The indexes are chunks themselves. */
export function indexesOf({ artifacts }: ChunkedBundle): Set<Sha256Hex> {
  return new Set(artifacts.map((one) => one.chunk_index));
}

/**
 * The chunks in one index, for every artifact that has it. @throws DroverError CHUNK_INDEX_INVALID
 */
export function chunksOfIndex(
  { artifacts, attachments }: ChunkedBundle,
  index: Sha256Hex,
  bytes: Uint8Array,
): Sha256Hex[] {
  const mine = [...artifacts, ...attachments].filter((one) => one.chunk_index === index);
  return mine.flatMap((file) => parseChunkIndex(bytes, file).chunks);
}

/**
 * Returns all chunks or fails: a partial list would cost the others. An attachment whose index is
 * missing has nothing left to lose: a broker of 0.1 may have removed it.
 * @throws DroverError CHUNKS_LOST when an index is missing, CHUNK_INDEX_INVALID
 */
export async function allChunksOf(
  bundles: readonly ChunkedBundle[],
  read: ChunkReader,
): Promise<Set<Sha256Hex>> {
  const all = new Set<Sha256Hex>();
  for (const bundle of bundles) {
    for (const index of indexesOf(bundle)) {
      const bytes = await read(index);
      if (!bytes) {
        const what = `the index ${shortHash(index)} is not there`;
        throw new DroverError('CHUNKS_LOST', `list the chunks of ${bundle.id}: ${what}`);
      }
      all.add(index);
      for (const chunk of chunksOfIndex(bundle, index, bytes)) all.add(chunk);
    }
    for (const { chunk_index: index } of bundle.attachments) {
      all.add(index); // it may be on its way
      const bytes = await read(index);
      if (bytes) for (const chunk of chunksOfIndex(bundle, index, bytes)) all.add(chunk);
    }
  }
  return all;
}
