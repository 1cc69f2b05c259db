/**
 * Writes a system image into the other slot. First it marks the slot so that the boot loader does
 * not boot it. Then it streams the only member `image` of the payload to the device, syncs it,
 * reads it back past the page cache and compares the hash. It does not make the slot boot:
 * `tryNext` does that after this function has returned.
 *
 * An interrupted run leaves a spoiled slot, and the next run writes the whole image again.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { IMAGE_MEMBER } from '../../shared/formats/bundle-parts.ts';
import { printable } from '../../shared/base/printable.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import type { Disk } from '../install/disk-port.ts';
import { untar } from '../install/untar.ts';
import type { BootSlots } from './boot-slots.ts';
import { openSlotDevice, type SlotDevice } from './slot-device.ts';

/** Facts about the image from a signed manifest. */
export interface ImageFacts {
  readonly size: number;
  readonly sha256: Sha256Hex;
}

export interface ImageWrite {
  readonly slots: Pick<BootSlots, 'other' | 'spoil'>;
  /** Device of the other slot. */
  readonly devicePath: string;
  readonly disk: Disk;
  /** Path of the payload.tar.gz, whose signature was verified. */
  readonly payloadPath: string;
  readonly image: ImageFacts;
  /** Gets the number of bytes of the image that were handled so far. */
  readonly onProgress?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface WrittenImage {
  readonly writtenBytes: number;
  /** Bytes that were zero in the image and already zero on the device. */
  readonly skippedBytes: number;
  /** `cache` when the slot is a file on a file system that reads only through its cache. */
  readonly readBack: 'device' | 'cache';
}

/**
 * @throws DroverError BOOT_DEVICE_WRONG, BOOT_DEVICE_BUSY, IMAGE_TOO_LARGE (nothing was touched),
 *   or of the boot side; then IMAGE_INVALID, ARCHIVE_CORRUPT, BOOT_READ_BACK_WRONG, DISK_FULL,
 *   DISK_WRITE_FAILED, or the signal's reason: the slot is spoiled
 */
export async function writeImage(write: ImageWrite): Promise<WrittenImage> {
  const { slots, devicePath, image, signal } = write;
  signal?.throwIfAborted();
  const device = await openSlotDevice(devicePath);
  try {
    assertImageFits(image, device);
    await slots.spoil(slots.other);
    const target = new ImageTarget(device, write);
    await streamImage(write, target);
    await target.finish();
    signal?.throwIfAborted();
    const readBack = await checkDevice(device, image);
    return { ...target.counted, readBack };
  } finally {
    await device.close();
  }
}

/** @throws DroverError IMAGE_TOO_LARGE */
export function assertImageFits(
  { size }: ImageFacts,
  { path, bytes }: Pick<SlotDevice, 'path' | 'bytes'>,
): void {
  if (size <= bytes) return;
  const counts = `got ${size} bytes, want at most ${bytes}`;
  throw new DroverError('IMAGE_TOO_LARGE', `write image to ${path}: ${counts}`);
}

async function streamImage(write: ImageWrite, target: ImageTarget): Promise<void> {
  const { disk, payloadPath, image, signal } = write;
  const payload = await disk.open(payloadPath, 'read');
  let members = 0;
  try {
    await untar({
      packing: 'gzip',
      read: (into, atByte) => payload.read(into, atByte),
      onUnpacked: (bytes) => {
        if (bytes <= image.size + LIMITS.imageTarBytesMax) return;
        throw invalid(`it unpacks to more than its image (want ${image.size} bytes)`);
      },
      onTar: () => undefined,
      onPacked: () => undefined,
      onEntry: async ({ name, type, size }, body) => {
        members += 1;
        const isImage = name === IMAGE_MEMBER && type === 'file' && members === 1;
        if (!isImage) {
          throw invalid(`got a ${type} "${printable(name)}", want one file "${IMAGE_MEMBER}"`);
        }
        if (size !== image.size) {
          throw invalid(`wrong size (got ${size} bytes, want ${image.size})`);
        }
        for await (const piece of body) await target.take(piece);
      },
      signal,
    });
  } finally {
    await payload.close();
  }
  if (members === 0) throw invalid(`it holds nothing, want one file "${IMAGE_MEMBER}"`);
}

const invalid = (why: string): DroverError =>
  new DroverError('IMAGE_INVALID', `write image: payload: ${why}`);

/** Reads the image back from the device and compares its hash. */
async function checkDevice(device: SlotDevice, { size, sha256 }: ImageFacts) {
  const hash = new Sha256Stream();
  const way = await device.readBack(size, (piece) => hash.update(piece));
  const got = hash.digestHex();
  if (got === sha256) return way;
  throw new DroverError(
    'BOOT_READ_BACK_WRONG',
    `read ${device.path} back: got ${shortHash(got)}, want ${shortHash(sha256)}`,
  );
}

/** Collects the pieces of a stream into blocks, and writes these. */
class ImageTarget {
  readonly #device: SlotDevice;
  readonly #write: ImageWrite;
  readonly #hash = new Sha256Stream();
  readonly #block = Buffer.allocUnsafe(LIMITS.imageBlockBytes);
  readonly #zeroes = Buffer.alloc(LIMITS.imageBlockBytes);
  readonly #before = Buffer.allocUnsafe(LIMITS.imageBlockBytes);
  #filled = 0;
  #atByte = 0;
  #unsynced = 0;
  #skipped = 0;

  constructor(device: SlotDevice, write: ImageWrite) {
    this.#device = device;
    this.#write = write;
  }

  get counted() {
    return { writtenBytes: this.#atByte - this.#skipped, skippedBytes: this.#skipped };
  }

  async take(piece: Uint8Array): Promise<void> {
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
   * Writes the rest and syncs. @throws DroverError IMAGE_INVALID when it is not the wanted image
   */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#device.sync();
    const { size, sha256 } = this.#write.image;
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
    this.#write.onProgress?.(this.#atByte);
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
