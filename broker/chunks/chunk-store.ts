/**
 * Stores chunks as files at their content address: `<folder>/<first two digits>/<hash>`. A lookup
 * is one open(2), however many chunks there are. A file is complete or absent: it is written under
 * another name, fsynced and renamed. A chunk is hashed when it is read for the first time since the
 * start, when its file has changed, or on request, so damage of a disk is noticed and repaired.
 */

import { open, mkdir, readdir, rename, rm, stat, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { errnoOf } from '../../shared/base/errno.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { isSha256Hex, shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { syncFolder } from '../../shared/io/atomic-file.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { PrunableChunkStore } from '../../shared/base/ports.ts';
import type { CheckedChunkStore } from './chunk-cache.ts';
import { readChunk, type ReadChunk } from './read-chunk.ts';

const FULL_CODES: readonly string[] = ['ENOSPC', 'EDQUOT'];
/** Errors of the place itself, for any reader: a bad sector, or something that is not a file. */
const DAMAGE_CODES: readonly string[] = ['EIO', 'EUCLEAN', 'EBADMSG', 'EISDIR', 'ELOOP', 'ENXIO'];

const shardNames = (): string[] =>
  Array.from({ length: 256 }, (_, at) => at.toString(16).padStart(2, '0'));

export interface ChunkStoreOptions {
  readonly folder: string;
  /** Quota: bytes of chunks this store may hold. */
  readonly bytesMax: number;
  /** Bytes of the disk that stay free for the state databases. */
  readonly reserveBytes?: number;
}

export class FolderChunkStore implements PrunableChunkStore, CheckedChunkStore {
  readonly #folder: string;
  readonly #bytesMax: number;
  readonly #reserveBytes: number;
  readonly #writing = new Map<Sha256Hex, Promise<void>>();
  readonly #removing = new Map<Sha256Hex, Promise<number>>();
  /** Stamps of files whose hash was right since the start. */
  readonly #whole = new Map<Sha256Hex, string>();
  /** Chunks that could not be read: missing until they can be read or are replaced. */
  readonly #unreadable = new Set<Sha256Hex>();
  #bytes = 0;
  #chunks = 0;
  #counted: Promise<void> = Promise.resolve();
  #unaskedBytes = Number.POSITIVE_INFINITY; // written since the free space was last read
  #temporary = 0;

  private constructor(options: ChunkStoreOptions) {
    this.#folder = options.folder;
    this.#bytesMax = options.bytesMax;
    this.#reserveBytes = options.reserveBytes ?? LIMITS.diskReserveBytes;
  }

  /**
   * Ready at once; stored chunks are counted in the background, and the first `put` waits for that.
   */
  static async open(options: ChunkStoreOptions): Promise<FolderChunkStore> {
    const store = new FolderChunkStore(options);
    await rm(join(options.folder, 'tmp'), { recursive: true, force: true });
    for (const name of ['tmp', ...shardNames()]) {
      await mkdir(join(options.folder, name), { recursive: true });
    }
    await syncFolder(options.folder);
    store.#counted = store.#count();
    store.#counted.catch(() => undefined); // whoever waits for the counts gets the error
    return store;
  }

  get bytesStored(): number {
    return this.#bytes;
  }

  get chunksStored(): number {
    return this.#chunks;
  }

  async has(hash: Sha256Hex): Promise<boolean> {
    return !this.#unreadable.has(hash) && (await this.#sizeOf(hash)) !== null;
  }

  async get(hash: Sha256Hex): Promise<Uint8Array | null> {
    return await this.read(hash, (bytes) => Buffer.allocUnsafeSlow(bytes));
  }

  async read(hash: Sha256Hex, allocate: (bytes: number) => Buffer): Promise<Uint8Array | null> {
    let found: ReadChunk | null;
    try {
      found = await readChunk(this.#path(hash), allocate);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null;
      if (!DAMAGE_CODES.includes(errnoOf(error))) throw error;
      this.#noteUnreadable(hash);
      return null;
    }
    this.#unreadable.delete(hash);
    if (!found) {
      await this.remove(hash);
      return null;
    }
    const { bytes, stamp } = found;
    // Robots hash it as well: a file that was whole and has not changed is not hashed again.
    if (this.#whole.get(hash) === stamp) return bytes;
    if (sha256Hex(bytes) === hash) {
      this.#noteWhole(hash, stamp);
      return bytes;
    }
    await this.remove(hash);
    return null;
  }

  async recheck(hash: Sha256Hex): Promise<void> {
    this.#whole.delete(hash);
    await this.get(hash);
  }

  #noteWhole(hash: Sha256Hex, stamp: string): void {
    this.#whole.set(hash, stamp);
    const [oldest] = this.#whole.keys();
    if (this.#whole.size > LIMITS.wholeChunksMax && oldest) this.#whole.delete(oldest);
  }

  /** The file stays: the disk may read it later, and a writer replaces it. */
  #noteUnreadable(hash: Sha256Hex): void {
    this.#whole.delete(hash);
    this.#unreadable.add(hash);
    const [oldest] = this.#unreadable;
    if (this.#unreadable.size > LIMITS.wholeChunksMax && oldest) this.#unreadable.delete(oldest);
  }

  async put(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > LIMITS.chunkBytesMax || bytes.byteLength === 0) {
      throw new DroverError(
        'CHUNK_TOO_LARGE',
        `store chunk ${shortHash(hash)}: bad size (got ${bytes.byteLength}, want 1 to ${LIMITS.chunkBytesMax} bytes)`,
      );
    }
    const actual = sha256Hex(bytes);
    // [P-7.7]
    if (actual !== hash) {
      throw new DroverError(
        'CHUNK_HASH_MISMATCH',
        `store chunk ${shortHash(hash)}: other bytes (got ${shortHash(actual)}, want ${shortHash(hash)})`,
      );
    }
    const running = this.#writing.get(hash);
    if (running) return running;
    const removal = this.#removing.get(hash); // a removal that begins later waits for this write
    const write = this.#write(hash, bytes, removal).finally(() => this.#writing.delete(hash));
    this.#writing.set(hash, write);
    return write;
  }

  async remove(hash: Sha256Hex, mayRemove: () => boolean = () => true): Promise<number> {
    const running = this.#removing.get(hash);
    if (running) return await running;
    const begun = this.#writing.get(hash); // a write that begins later waits for this removal
    const removal = this.#unlink(hash, mayRemove, begun).finally(() => {
      this.#removing.delete(hash);
    });
    this.#removing.set(hash, removal);
    return await removal;
  }

  async *list(): AsyncGenerator<readonly Sha256Hex[]> {
    for (const shard of shardNames()) {
      yield (await readdir(join(this.#folder, shard))).filter(isSha256Hex);
    }
  }

  /** Writes and removals of one chunk are serial: a later write finds it gone and stores it. */
  async #unlink(
    hash: Sha256Hex,
    mayRemove: () => boolean,
    begun: Promise<void> | undefined,
  ): Promise<number> {
    await begun?.catch(() => undefined); // its writer gets the failure
    await this.#counted;
    const size = await this.#sizeOf(hash);
    if (size === null || !mayRemove()) return 0;
    this.#whole.delete(hash);
    await unlink(this.#path(hash));
    this.#unreadable.delete(hash);
    this.#bytes -= size;
    this.#chunks -= 1;
    return size;
  }

  async #write(
    hash: Sha256Hex,
    bytes: Uint8Array,
    removal: Promise<number> | undefined,
  ): Promise<void> {
    await removal?.catch(() => undefined); // its remover gets the failure
    await this.#counted;
    if (await this.has(hash)) return;
    const replaced = this.#unreadable.has(hash) ? await this.#sizeOf(hash) : null;
    if (this.#bytes + bytes.byteLength > this.#bytesMax) {
      throw new DroverError(
        'STORE_FULL',
        `store chunk ${shortHash(hash)}: the store is full (got ${this.#bytes} bytes, want at most ${this.#bytesMax})`,
      );
    }
    // Before the first await: concurrent writes must not each count the same free space.
    this.#bytes += bytes.byteLength;
    try {
      await this.#askForRoom(bytes.byteLength);
      await this.#writeFile(hash, bytes);
    } catch (error) {
      this.#bytes -= bytes.byteLength;
      throw error;
    }
    this.#unreadable.delete(hash);
    this.#bytes -= replaced ?? 0;
    if (replaced === null) this.#chunks += 1;
  }

  async #writeFile(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    this.#temporary += 1;
    const beside = join(this.#folder, 'tmp', `${hash}.${this.#temporary}`);
    try {
      const handle = await open(beside, 'wx', 0o640);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(beside, this.#path(hash));
      await syncFolder(join(this.#folder, hash.slice(0, 2)));
    } catch (cause) {
      await rm(beside, { force: true });
      if (FULL_CODES.includes(errnoOf(cause))) throw this.#diskFull(cause);
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DroverError('DISK_WRITE_FAILED', `store chunk ${shortHash(hash)}: ${why}`, {
        cause,
      });
    }
  }

  /** The store stops before the disk is full: a full disk would also stop the state databases. */
  async #askForRoom(bytes: number): Promise<void> {
    this.#unaskedBytes += bytes;
    if (this.#unaskedBytes < LIMITS.downloadSyncBytes) return;
    const { bavail, bsize } = await statfs(this.#folder);
    const free = bavail * bsize;
    if (free - bytes < this.#reserveBytes) {
      const amounts = `got ${formatBytes(free)} free, of which ${formatBytes(this.#reserveBytes)} are kept`;
      throw this.#diskFull(undefined, `${amounts} for the state of the broker`);
    }
    this.#unaskedBytes = 0;
  }

  #diskFull(cause: unknown, amounts = 'the disk took no more'): DroverError {
    // read the free space again before the next chunk
    this.#unaskedBytes = Number.POSITIVE_INFINITY;
    const message = `store chunk in ${this.#folder}: no room on the disk (${amounts})`;
    return new DroverError('DISK_FULL', message, { cause });
  }

  #path(hash: Sha256Hex): string {
    return join(this.#folder, hash.slice(0, 2), hash);
  }

  async #sizeOf(hash: Sha256Hex): Promise<number | null> {
    try {
      const found = await stat(this.#path(hash));
      return found.isFile() ? found.size : null;
    } catch (error) {
      if (['ENOENT', ...DAMAGE_CODES].includes(errnoOf(error))) return null;
      throw error;
    }
  }

  async #count(): Promise<void> {
    for await (const hashes of this.list()) {
      for (const hash of hashes) {
        const size = await this.#sizeOf(hash);
        if (size === null) continue;
        this.#bytes += size;
        this.#chunks += 1;
      }
    }
  }

  /** Resolves when the counts are complete; for tests and metrics. */
  async whenCounted(): Promise<void> {
    await this.#counted;
  }
}
