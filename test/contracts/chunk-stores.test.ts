/**
 * The contract of a chunk store, on each of them: what was put is there under its hash, to the
 * byte, until it is removed, and nothing else ever is.
 */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { ChunkCache } from '../../broker/chunks/chunk-cache.ts';
import { FolderChunkStore } from '../../broker/chunks/chunk-store.ts';
import { TendedChunks } from '../../broker/garbage/guarded-store.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { PrunableChunkStore, WritableChunkStore } from '../../shared/base/ports.ts';
import { withTempFolder } from '../helpers/temp-folder.ts';

interface Made {
  readonly store: WritableChunkStore;
  /** Null where a collector removes them, and nobody else. */
  readonly prunable: PrunableChunkStore | null;
}

const openFolder = async (folder: string): Promise<FolderChunkStore> => {
  const store = await FolderChunkStore.open({ folder, bytesMax: 1e9, reserveBytes: 0 });
  await store.whenCounted();
  return store;
};

/** Each opens again what is in the folder. */
const STORES: Readonly<Record<string, (folder: string) => Promise<Made>>> = {
  'in a folder': async (folder) => {
    const store = await openFolder(folder);
    return { store, prunable: store };
  },
  'in a folder, the last ones in memory': async (folder) => {
    const store = new ChunkCache({ chunks: await openFolder(folder), bytesMax: 100_000 });
    return { store, prunable: store };
  },
  'beside a collector': async (folder) => {
    const use = <T>(_hash: Sha256Hex, work: () => Promise<T>): Promise<T> => work();
    const tender = { use, makeRoom: () => Promise.resolve(false) };
    return { store: new TendedChunks(await openFolder(folder), tender), prunable: null };
  },
};

/** Few chunks, so that they meet. */
const CHUNKS = Array.from({ length: 5 }, (_, at) => Buffer.alloc(10 + at * 400, at + 1));
const chunk = fc.constantFrom(...CHUNKS);

type Step = readonly ['put' | 'lie' | 'remove' | 'keep' | 'reopen', Buffer];
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('put', 'put', 'lie', 'remove', 'keep', 'reopen'),
  chunk,
);

const codeOf = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    await run();
    return 'taken';
  } catch (error) {
    if (error instanceof DroverError) return error.code;
    throw error;
  }
};

for (const [name, open] of Object.entries(STORES)) {
  describe(`chunks ${name}`, () => {
    it('are there from their put to their removal, over restarts, and nothing else is', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
          await withTempFolder(async (folder) => {
            let { store, prunable } = await open(folder);
            const held = new Map<Sha256Hex, Buffer>();
            for (const [what, bytes] of steps) {
              const hash = sha256Hex(bytes);
              if (what === 'put') {
                await store.put(hash, bytes);
                held.set(hash, bytes);
              } else if (what === 'lie') {
                const lie = store.put(hash, Buffer.concat([bytes, bytes]));
                assert.equal(await codeOf(() => lie), 'CHUNK_HASH_MISMATCH');
              } else if (what === 'reopen') ({ store, prunable } = await open(folder));
              else if (prunable) {
                const free = await prunable.remove(hash, () => what === 'remove');
                assert.equal(free > 0, what === 'remove' && held.has(hash));
                if (what === 'remove') held.delete(hash);
              }
            }
            for (const bytes of CHUNKS) {
              const hash = sha256Hex(bytes);
              const got = await store.get(hash);
              assert.deepEqual(got && Buffer.from(got), held.get(hash) ?? null);
              assert.equal(await store.has(hash), held.has(hash));
            }
            if (!prunable) return;
            const listed: Sha256Hex[] = [];
            for await (const group of prunable.list()) listed.push(...group);
            assert.deepEqual(listed.sort(), [...held.keys()].sort());
            assert.equal(prunable.chunksStored, held.size);
            const sizes = [...held.values()].reduce((sum, one) => sum + one.byteLength, 0);
            assert.equal(prunable.bytesStored, sizes);
          });
        }),
        { numRuns: 15 },
      );
    });

    it('are of one byte at least and of the bound at most', async () => {
      await withTempFolder(async (folder) => {
        const { store } = await open(folder);
        for (const size of [0, LIMITS.chunkBytesMax + 1]) {
          const bytes = Buffer.alloc(size);
          assert.equal(await codeOf(() => store.put(sha256Hex(bytes), bytes)), 'CHUNK_TOO_LARGE');
        }
        const largest = Buffer.alloc(LIMITS.chunkBytesMax, 7);
        await store.put(sha256Hex(largest), largest);
        assert.equal(await store.has(sha256Hex(largest)), true);
      });
    });
  });
}
