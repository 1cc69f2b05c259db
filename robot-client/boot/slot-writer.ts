/**
 * Writes a system image into the other slot. First it marks the slot so that the boot loader does
 * not boot it. Then it streams the image to the device, out of the only member `image` of a payload
 * or as a delta makes it, syncs it, reads it back past the page cache and compares the hash. It
 * does not make the slot boot: `tryNext` does that after this function has returned.
 *
 * An interrupted run leaves a spoiled slot, and the next run writes the whole image again.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { IMAGE_MEMBER } from '../../shared/formats/bundle-parts.ts';
import { printable } from '../../shared/base/printable.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import type { Disk } from '../install/disk-port.ts';
import { untar } from '../install/untar.ts';
import type { BootSlots } from './boot-slots.ts';
import { ImageTarget, type ImageFacts } from './image-target.ts';
import { openSlotDevice, type SlotDevice } from './slot-device.ts';

/** Gives all bytes of an image to the target, in order. */
export type ImageSource = (target: ImageTarget) => Promise<void>;

export interface ImageWrite {
  readonly slots: Pick<BootSlots, 'other' | 'spoil'>;
  /** Device of the other slot. */
  readonly devicePath: string;
  /** `imageOfPayload`, or a delta; its result is checked against `image`. */
  readonly source: ImageSource;
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
  const { slots, devicePath, source, image, signal } = write;
  signal?.throwIfAborted();
  const device = await openSlotDevice(devicePath);
  try {
    assertImageFits(image, device);
    await slots.spoil(slots.other);
    const target = new ImageTarget(device, write);
    await source(target);
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

export interface PayloadImage {
  readonly disk: Disk;
  /** Path of the payload.tar.gz, whose signature was verified. */
  readonly payloadPath: string;
  readonly image: ImageFacts;
  readonly signal?: AbortSignal | undefined;
}

/** The image out of a payload.tar.gz. */
export const imageOfPayload =
  (payload: PayloadImage): ImageSource =>
  (target) =>
    streamImage(payload, target);

async function streamImage(
  { disk, payloadPath, image, signal }: PayloadImage,
  target: ImageTarget,
): Promise<void> {
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
