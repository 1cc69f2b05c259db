/**
 * Checks of a system slot that believe no record: which device a path leads to, and whether the
 * slot still holds the image that was written into it. Other programs and people write slots, too.
 */

import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { diskError } from '../install/disk-error.ts';
import { blockFolder } from './slot-device.ts';
import type { ImageFacts } from './image-target.ts';
import { SlotReader } from './slot-reader.ts';

/**
 * True when both paths lead to one device or one file: a partition has many paths, and a loop
 * device stands on a file that has paths of its own. A path that leads to nothing is no other.
 */
export async function isSameDevice(one: string, other: string): Promise<boolean> {
  return (await placeOf(one)) === (await placeOf(other));
}

/** @throws DroverError BOOT_DEVICE_WRONG when the two slots are one device */
export async function assertApart(running: string, other: string): Promise<void> {
  if (!(await isSameDevice(running, other))) return;
  const why = `it is the device of the slot that runs, ${running}, under another name`;
  throw new DroverError('BOOT_DEVICE_WRONG', `open slot ${other}: ${why}`);
}

/** The same text for every path of a device. */
async function placeOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => null); // opening it reports why
  if (found === null) return `path ${resolve(path)}`;
  if (!found.isBlockDevice()) return `file ${found.dev}:${found.ino} from 0`;
  const folder = blockFolder(found.rdev);
  const read = async (name: string): Promise<string> =>
    (await readFile(`${folder}/loop/${name}`, 'utf8').catch(() => '')).trim();
  const backing = await read('backing_file');
  const file = backing === '' ? null : await stat(backing).catch(() => null);
  return file === null
    ? `device ${folder}`
    : `file ${file.dev}:${file.ino} from ${await read('offset')}`;
}

/**
 * True when the first bytes of the device are the image. It opens the device for reading alone, so
 * the slot that runs can be asked as well: it holds the image as long as it is mounted read-only.
 * @throws DroverError of the disk, or the signal's reason
 */
export async function holdsImage(
  path: string,
  { size, sha256 }: ImageFacts,
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    const reader = await SlotReader.open(path);
    try {
      const hash = new Sha256Stream();
      while (hash.bytes < size) {
        signal?.throwIfAborted();
        const piece = await reader.read(hash.bytes, size - hash.bytes);
        if (piece.byteLength === 0) return false;
        hash.update(piece);
      }
      return hash.digestHex() === sha256;
    } finally {
      await reader.close();
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw diskError('read slot', path, cause);
  }
}
