/**
 * Reads the device of a slot past the page cache (O_DIRECT), so that the bytes come from the device
 * itself: after writing, and while a slot is mounted. The cache of a mounted device has what its
 * file system holds in memory: of ext4 with a journal that differs from the device even when it is
 * mounted read-only. Nothing is written.
 */

import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf } from '../../shared/base/errno.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/**
 * Reads past the page cache must start at a multiple of this and have such a length; it fits every
 * device.
 */
const DIRECT_BYTES = 4096;
/** Node allocates buffers at multiples of this address. */
const ADDRESS_STEP_BYTES = 16;
const BLOCK_BYTES = LIMITS.imageBlockBytes;

export class SlotReader {
  readonly #path: string;
  /** Null when the file system of a file cannot do that. */
  readonly #direct: FileHandle | null;
  #cached: FileHandle | null = null;
  readonly #whole = Buffer.allocUnsafeSlow(BLOCK_BYTES + DIRECT_BYTES);
  /** Node does not show addresses, so several are tried. */
  #from = 0;

  private constructor(path: string, direct: FileHandle | null) {
    this.#path = path;
    this.#direct = direct;
  }

  /** Rejects with the error of the system. */
  static async open(path: string): Promise<SlotReader> {
    try {
      return new SlotReader(path, await open(path, constants.O_RDONLY | constants.O_DIRECT));
    } catch (cause) {
      if (errnoOf(cause) !== 'EINVAL') throw cause;
      return new SlotReader(path, null);
    }
  }

  /** `cache` when a block could not be read past the cache. */
  get way(): 'device' | 'cache' {
    return this.#direct === null || this.#cached !== null ? 'cache' : 'device';
  }

  /**
   * Up to `bytesMax` bytes from there on, at least one before the end of the device; valid until the
   * next call. Rejects with the error of the system.
   */
  async read(atByte: number, bytesMax: number): Promise<Buffer> {
    const skipped = atByte % DIRECT_BYTES;
    const start = atByte - skipped;
    const block = (await this.#readDirect(start)) ?? (await this.#readCached(start));
    return block.subarray(skipped, skipped + bytesMax);
  }

  async close(): Promise<void> {
    await this.#direct?.close();
    await this.#cached?.close();
  }

  /**
   * The kernel accepts every address for a hole of a file, so a later read may have to go on to
   * another one. @returns null when it accepts none
   */
  async #readDirect(atByte: number): Promise<Buffer | null> {
    if (this.#direct === null) return null;
    for (; this.#from < DIRECT_BYTES; this.#from += ADDRESS_STEP_BYTES) {
      const from = this.#from;
      try {
        const { bytesRead } = await this.#direct.read(this.#whole, from, BLOCK_BYTES, atByte);
        return this.#whole.subarray(from, from + bytesRead);
      } catch (cause) {
        if (errnoOf(cause) !== 'EINVAL') throw cause;
      }
    }
    return null;
  }

  async #readCached(atByte: number): Promise<Buffer> {
    this.#cached ??= await open(this.#path, 'r');
    const { bytesRead } = await this.#cached.read(this.#whole, 0, BLOCK_BYTES, atByte);
    return this.#whole.subarray(0, bytesRead);
  }
}
