import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { FolderChunkStore } from '../../../broker/chunks/chunk-store.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';

const GiB = 2 ** 30;

async function freshStore(
  t: TestContext,
  bytesMax = GiB,
): Promise<{ store: FolderChunkStore; folder: string }> {
  const folder = await tempFolder(t);
  const store = await FolderChunkStore.open({ folder, bytesMax, reserveBytes: 0 });
  await store.whenCounted();
  return { store, folder };
}

describe('the chunk store', () => {
  it('gives back what was put, across a restart, and null for what was not', async () => {
    const anyChunk = fc.uint8Array({ minLength: 1, maxLength: 2_000 });
    await fc.assert(
      fc.asyncProperty(fc.array(anyChunk, { maxLength: 8 }), async (chunks) => {
        await withTempFolder(async (folder) => {
          const options = { folder, bytesMax: GiB, reserveBytes: 0 };
          const first = await FolderChunkStore.open(options);
          for (const chunk of chunks) await first.put(sha256Hex(chunk), chunk);
          const second = await FolderChunkStore.open(options);
          for (const chunk of chunks) {
            assert.deepEqual(new Uint8Array((await second.get(sha256Hex(chunk))) ?? []), chunk);
          }
          assert.equal(await second.get(sha256Hex(randomBytes(8))), null);
          await second.whenCounted();
          assert.equal(second.bytesStored, first.bytesStored);
          assert.equal(second.chunksStored, new Set(chunks.map(sha256Hex)).size);
        });
      }),
      { numRuns: 10 },
    );
  });

  it('refuses bytes that are not what their address says, and keeps nothing of them', async (t) => {
    const { store, folder } = await freshStore(t);
    const hash = sha256Hex(Buffer.from('true'));
    await assert.rejects(store.put(hash, Buffer.from('false')), { code: 'CHUNK_HASH_MISMATCH' });
    assert.equal(await store.has(hash), false);
    assert.deepEqual(await readdir(join(folder, 'tmp')), []);
  });

  it('refuses a chunk that is empty or above the limit', async (t) => {
    const { store } = await freshStore(t);
    for (const size of [0, LIMITS.chunkBytesMax + 1]) {
      const chunk = new Uint8Array(size);
      await assert.rejects(store.put(sha256Hex(chunk), chunk), { code: 'CHUNK_TOO_LARGE' });
    }
  });

  it('finds a damaged chunk, gives null for it, and takes it again', async (t) => {
    const { store, folder } = await freshStore(t);
    const chunk = randomBytes(1_000);
    const hash = sha256Hex(chunk);
    await store.put(hash, chunk);
    await writeFile(join(folder, hash.slice(0, 2), hash), 'rotten');
    assert.equal(await store.get(hash), null);
    await store.put(hash, chunk);
    assert.deepEqual(Buffer.from((await store.get(hash)) ?? []), chunk);
  });

  it('stops at its quota and goes on serving; an equal chunk is not stored twice', async (t) => {
    const { store } = await freshStore(t, 2_500);
    const chunks = [randomBytes(1_000), randomBytes(1_000), randomBytes(1_000)] as const;
    await store.put(sha256Hex(chunks[0]), chunks[0]);
    await store.put(sha256Hex(chunks[0]), chunks[0]);
    await store.put(sha256Hex(chunks[1]), chunks[1]);
    await assert.rejects(store.put(sha256Hex(chunks[2]), chunks[2]), { code: 'STORE_FULL' });
    assert.ok(await store.get(sha256Hex(chunks[1])));
    await store.remove(sha256Hex(chunks[0]));
    await store.put(sha256Hex(chunks[2]), chunks[2]);
    assert.equal(store.bytesStored, 2_000);
  });

  it('stops at its quota also when many come at once, and counts only what it kept', async (t) => {
    const { store } = await freshStore(t, 2_500);
    const chunks = Array.from({ length: 8 }, () => randomBytes(1_000));
    const outcomes = await Promise.allSettled(chunks.map((one) => store.put(sha256Hex(one), one)));
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 2);
    assert.equal(store.bytesStored, 2_000);
    assert.equal(store.chunksStored, 2);
  });

  it('stops before the disk is full', async (t) => {
    const folder = await tempFolder(t);
    const store = await FolderChunkStore.open({ folder, bytesMax: GiB, reserveBytes: 2 ** 60 });
    const chunk = randomBytes(100);
    const amounts = /no room on the disk \(got [\d.]+ \w+ free, of which [\d.]+ TiB are kept/;
    const refused = { code: 'DISK_FULL', message: amounts };
    await assert.rejects(store.put(sha256Hex(chunk), chunk), refused);
    assert.equal(store.bytesStored, 0);
  });

  it('takes the same chunk from many at once, as one write', async (t) => {
    const { store, folder } = await freshStore(t);
    const chunk = randomBytes(50_000);
    const hash = sha256Hex(chunk);
    await Promise.all(Array.from({ length: 20 }, () => store.put(hash, chunk)));
    assert.equal(store.chunksStored, 1);
    assert.deepEqual(await readFile(join(folder, hash.slice(0, 2), hash)), chunk);
  });

  it('clears what a killed broker left half-written', async (t) => {
    const folder = await tempFolder(t);
    await mkdir(join(folder, 'tmp'), { recursive: true });
    await writeFile(join(folder, 'tmp', 'half'), 'x');
    const store = await FolderChunkStore.open({ folder, bytesMax: GiB });
    await store.whenCounted();
    assert.deepEqual(await readdir(join(folder, 'tmp')), []);
  });

  it('ends with a chunk stored that is written while it is removed, in any order', async (t) => {
    const { store } = await freshStore(t);
    for (let round = 0; round < 50; round += 1) {
      const chunk = randomBytes(500);
      const hash = sha256Hex(chunk);
      if (round % 2 === 0) await store.put(hash, chunk);
      const both: (() => Promise<unknown>)[] = [
        () => store.remove(hash),
        () => store.put(hash, chunk),
      ];
      if (round % 4 > 1) both.reverse();
      // The one that was begun last counts.
      await Promise.all(both.map((one) => one()));
      assert.equal(await store.has(hash), round % 4 <= 1, `round ${round}`);
      await store.remove(hash);
    }
    assert.deepEqual([store.bytesStored, store.chunksStored], [0, 0]);
  });

  it('removes once, says how much that was, and asks right before it', async (t) => {
    const { store } = await freshStore(t);
    const chunk = randomBytes(500);
    const hash = sha256Hex(chunk);
    await store.put(hash, chunk);
    assert.equal(await store.remove(hash, () => false), 0);
    assert.ok(await store.has(hash));
    const [one, other] = await Promise.all([store.remove(hash), store.remove(hash)]);
    assert.deepEqual([one, other, await store.remove(hash)], [500, 500, 0]);
    assert.deepEqual([store.bytesStored, store.chunksStored], [0, 0]);
  });

  it('lists all that is there, in groups', async (t) => {
    const { store } = await freshStore(t);
    const chunks = Array.from({ length: 40 }, () => randomBytes(20));
    for (const chunk of chunks) await store.put(sha256Hex(chunk), chunk);
    const listed: string[] = [];
    for await (const group of store.list()) listed.push(...group);
    assert.deepEqual(listed.sort(), chunks.map(sha256Hex).sort());
  });
});
