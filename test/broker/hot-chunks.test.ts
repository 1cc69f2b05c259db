import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { FolderChunkStore } from '../../broker/io/chunk-store.ts';
import { HotChunks } from '../../broker/io/hot-chunks.ts';
import { sha256Hex } from '../../shared/hash.ts';
import type { Sha256Hex } from '../../shared/ids.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const BYTES = 1_000;

async function open(t: TestContext, bytesMax = 10 * BYTES) {
  const folder = await tempFolder(t);
  const chunks = await FolderChunkStore.open({ folder, bytesMax: 1_000_000, reserveBytes: 0 });
  const reads: number[] = [];
  const hot = new HotChunks({ chunks, bytesMax, onRead: (bytes) => reads.push(bytes) });
  const put = async (fill: number): Promise<Sha256Hex> => {
    const bytes = new Uint8Array(BYTES).fill(fill);
    const hash = sha256Hex(bytes);
    await chunks.put(hash, bytes);
    return hash;
  };
  const path = (hash: Sha256Hex): string => join(folder, hash.slice(0, 2), hash);
  return { chunks, hot, reads, put, path };
}

describe('chunks that were read a moment ago', () => {
  it('are read once for all who ask at the same time, and after', async (t) => {
    const { hot, reads, put } = await open(t);
    const hash = await put(1);
    const all = await Promise.all(Array.from({ length: 8 }, () => hot.get(hash)));
    all.push(await hot.get(hash));
    assert.deepEqual(reads, [BYTES]);
    for (const bytes of all) assert.equal(bytes && sha256Hex(bytes), hash);
  });

  it('are as many as fit, the longest unused going first', async (t) => {
    const { hot, reads, put } = await open(t, 2 * BYTES);
    const [a, b, c] = [await put(1), await put(2), await put(3)];
    for (const hash of [a, b, a, c, a, b]) await hot.get(hash);
    assert.equal(reads.length, 4, 'a, b and c, and b again');
  });

  it('are read and hashed again for who got one and wants it again', async (t) => {
    const { hot, put, path } = await open(t);
    const hash = await put(1);
    await hot.get(hash);
    await writeFile(path(hash), 'rotten');
    assert.ok(await hot.get(hash), 'what is in memory is whole');
    await hot.recheck(hash);
    assert.equal(await hot.get(hash), null);
    assert.equal(await put(1), hash);
    assert.ok(await hot.get(hash));
  });

  it('go with what is removed, also when they are being read', async (t) => {
    const { hot, put } = await open(t);
    const hash = await put(1);
    const reading = hot.get(hash);
    assert.equal(await hot.remove(hash), BYTES);
    await reading;
    assert.equal(await hot.get(hash), null);
    await put(1);
    assert.ok(await hot.get(hash));
    await hot.remove(hash);
    assert.equal(await hot.get(hash), null);
  });

  it('that are not there are asked for again each time', async (t) => {
    const { hot, reads, put } = await open(t);
    const hash = sha256Hex(new Uint8Array(BYTES).fill(7));
    assert.equal(await hot.get(hash), null);
    await put(7);
    assert.ok(await hot.get(hash));
    assert.equal(reads.length, 1);
  });
});

describe('a chunk file that was found whole', () => {
  it('is not believed any longer once it was touched', async (t) => {
    const { chunks, put, path } = await open(t);
    const hash = await put(1);
    assert.ok(await chunks.get(hash));
    await writeFile(path(hash), new Uint8Array(BYTES).fill(9));
    assert.equal(await chunks.get(hash), null);
    assert.equal(await chunks.has(hash), false);
  });
});
