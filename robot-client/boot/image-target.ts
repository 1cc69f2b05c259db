/**
 * Takes the bytes of a system image, in order, and writes them to the device of a slot in blocks. A
 * delta may read what it made so far. The bytes are judged when all of them are there: until then
 * the slot is spoiled, and no boot loader boots it.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import type { SlotDevice } from './slot-device.ts';

/** Facts about the image from a signed manifest. */
export interface ImageFacts {
  readonly size: number;
  readonly sha256: Sha256Hex;
}

const invalid = (why: string): DroverError =>
  new DroverError('IMAGE_INVALID', `write image: ${why}`);

interface ImageTargetOptions {
  readonly image: ImageFacts;
  /** Gets the number of bytes of the image that were handled so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

export class ImageTarget {
  readonly #device: SlotDevice;
  readonly #options: ImageTargetOptions;
  readonly #hash = new Sha256Stream();
  readonly #block = Buffer.allocUnsafe(LIMITS.imageBlockBytes);
  readonly #zeroes = Buffer.alloc(LIMITS.imageBlockBytes);
  readonly #before = Buffer.allocUnsafe(LIMITS.imageBlockBytes);
  #filled = 0;
  #atByte = 0;
  #unsynced = 0;
  #skipped = 0;

  constructor(device: SlotDevice, options: ImageTargetOptions) {
    this.#device = device;
    this.#options = options;
  }

  /** Bytes of the image that were taken so far. */
  get bytes(): number {
    return this.#atByte + this.#filled;
  }

  get counted() {
    return { writtenBytes: this.#atByte - this.#skipped, skippedBytes: this.#skipped };
  }

  async take(piece: Uint8Array): Promise<void> {
    const { size } = this.#options.image;
    if (this.bytes + piece.byteLength > size) throw invalid(`too long (want ${size} bytes)`);
    this.#hash.update(piece);
    for (let at = 0; at < piece.byteLength;) {
      const room = Math.min(this.#block.byteLength - this.#filled, piece.byteLength - at);
      this.#block.set(piece.subarray(at, at + room), this.#filled);
      this.#filled += room;
      at += room;
      if (this.#filled === this.#block.byteLength) await this.#flush();
    }
  }

  /**
   * Reads bytes again that were taken before: up to `into.byteLength` from there on, 0 at the end.
   */
  async read(into: Uint8Array, atByte: number): Promise<number> {
    if (atByte >= this.#atByte) {
      const part = this.#block.subarray(atByte - this.#atByte, this.#filled);
      const piece = part.subarray(0, into.byteLength);
      into.set(piece);
      return piece.byteLength;
    }
    const bytes = Math.min(into.byteLength, this.#atByte - atByte);
    await this.#device.read(into.subarray(0, bytes), atByte);
    return bytes;
  }

  /**
   * Writes the rest and syncs. @throws DroverError IMAGE_INVALID when it is not the wanted image
   */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#device.sync();
    const { size, sha256 } = this.#options.image;
    const [bytes, got] = [this.#hash.bytes, this.#hash.digestHex()];
    if (bytes !== size) throw invalid(`cut short (got ${bytes} bytes, want ${size})`);
    if (got !== sha256) {
      throw invalid(`wrong hash (got ${shortHash(got)}, want ${shortHash(sha256)})`);
    }
  }

  async #flush(): Promise<void> {
    const block = this.#block.subarray(0, this.#filled);
    this.#filled = 0;
    if (await this.#isThere(block)) {
      this.#skipped += block.byteLength;
    } else {
      await this.#device.write(block, this.#atByte);
      this.#unsynced += block.byteLength;
    }
    this.#atByte += block.byteLength;
    // This bounds the data that the kernel has yet to write.
    if (this.#unsynced >= LIMITS.downloadSyncBytes) {
      await this.#device.sync();
      this.#unsynced = 0;
    }
    this.#options.onProgress?.(this.#atByte);
  }

  /**
   * True when this block is zero and the device already holds zeroes there. A device that had
   * another system needs zeroes written; a new partition or a hole of a file reads as zeroes.
   */
  async #isThere(block: Uint8Array): Promise<boolean> {
    const size = block.byteLength;
    if (size === 0) return true;
    if (!this.#zeroes.subarray(0, size).equals(block)) return false;
    const before = this.#before.subarray(0, size);
    await this.#device.read(before, this.#atByte);
    return before.equals(block);
  }
}
