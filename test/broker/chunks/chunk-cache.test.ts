import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { FolderChunkStore } from '../../../broker/chunks/chunk-store.ts';
import { ChunkCache } from '../../../broker/chunks/chunk-cache.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

/** The smallest piece of memory that is handed out. */
const BYTES = LIMITS.chunkBytesMin;

async function open(t: TestContext, bytesMax = 10 * BYTES) {
  const folder = await tempFolder(t);
  const chunks = await FolderChunkStore.open({ folder, bytesMax: 1_000_000, reserveBytes: 0 });
  const reads: number[] = [];
  const read = chunks.read.bind(chunks);
  chunks.read = async (hash, allocate) => {
    const bytes = await read(hash, allocate);
    if (bytes) reads.push(bytes.byteLength);
    return bytes;
  };
  const hot = new ChunkCache({ chunks, bytesMax });
  /** Borrows it and gives it back; the bytes as they were, or null. */
  const look = async (hash: Sha256Hex): Promise<Uint8Array | null> => {
    const lent = await hot.borrow(hash);
    const bytes = lent && Uint8Array.from(lent.bytes);
    lent?.giveBack();
    return bytes;
  };
  const put = async (fill: number): Promise<Sha256Hex> => {
    const bytes = new Uint8Array(BYTES).fill(fill);
    const hash = sha256Hex(bytes);
    await chunks.put(hash, bytes);
    return hash;
  };
  const path = (hash: Sha256Hex): string => join(folder, hash.slice(0, 2), hash);
  return { chunks, hot, look, reads, put, path };
}

describe('chunks that were read a moment ago', () => {
  it('are read once for all clients that ask at the same time, and after', async (t) => {
    const { look, reads, put } = await open(t);
    const hash = await put(1);
    const all = await Promise.all(Array.from({ length: 8 }, () => look(hash)));
    all.push(await look(hash));
    assert.deepEqual(reads, [BYTES]);
    for (const bytes of all) assert.equal(bytes && sha256Hex(bytes), hash);
  });

  it('are as many as fit, the longest unused going first', async (t) => {
    const { look, reads, put } = await open(t, 2 * BYTES);
    const [a, b, c] = [await put(1), await put(2), await put(3)];
    for (const hash of [a, b, a, c, a, b]) await look(hash);
    assert.equal(reads.length, 4, 'a, b and c, and b again');
  });

  it('are read and hashed again for a client that got one and wants it again', async (t) => {
    const { hot, look, put, path } = await open(t);
    const hash = await put(1);
    await look(hash);
    await writeFile(path(hash), 'rotten');
    assert.ok(await look(hash), 'what is in memory is whole');
    await hot.recheck(hash);
    assert.equal(await look(hash), null);
    assert.equal(await put(1), hash);
    assert.ok(await look(hash));
  });

  it('go with what is removed, also when they are being read', async (t) => {
    const { hot, look, put } = await open(t);
    const hash = await put(1);
    const reading = look(hash);
    assert.equal(await hot.remove(hash), BYTES);
    await reading;
    assert.equal(await look(hash), null);
    await put(1);
    assert.ok(await look(hash));
    await hot.remove(hash);
    assert.equal(await look(hash), null);
  });

  it('that are not there are asked for again each time', async (t) => {
    const { look, reads, put } = await open(t);
    const hash = sha256Hex(new Uint8Array(BYTES).fill(7));
    assert.equal(await look(hash), null);
    await put(7);
    assert.ok(await look(hash));
    assert.equal(reads.length, 1);
  });

  it('are not overwritten while they are lent, however many others come', async (t) => {
    const { hot, look, put } = await open(t, 2 * BYTES);
    const hashes = [await put(1), await put(2), await put(3), await put(4), await put(5)];
    const lent = await Promise.all(hashes.slice(0, 3).map((hash) => hot.borrow(hash)));
    for (const hash of hashes.slice(3)) assert.ok(await look(hash));
    for (const [at, one] of lent.entries()) {
      assert.equal(one && sha256Hex(one.bytes), hashes[at]);
      one?.giveBack();
      one?.giveBack();
    }
    for (const hash of hashes) assert.equal(sha256Hex((await look(hash)) as Uint8Array), hash);
  });

  it('are read into the same memory again and again', async (t) => {
    const { hot, put } = await open(t, 2 * BYTES);
    const memory = new Set<ArrayBufferLike>();
    for (let fill = 1; fill <= 20; fill += 1) {
      const lent = await hot.borrow(await put(fill));
      if (lent) memory.add(lent.bytes.buffer);
      lent?.giveBack();
    }
    assert.equal(memory.size, 2);
  });

  it('that were removed while they were lent stay whole until they are given back', async (t) => {
    const { hot, look, put } = await open(t, BYTES);
    const [a, b] = [await put(1), await put(2)];
    const lent = await hot.borrow(a);
    await hot.remove(a);
    assert.ok(await look(b));
    assert.equal(lent && sha256Hex(lent.bytes), a);
    lent?.giveBack();
    assert.equal(await look(a), null);
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
