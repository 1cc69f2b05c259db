/**
 * The device of a system slot: a partition, or a file in its place. It is opened so that nobody can
 * mount it meanwhile. It is never created: a mistyped path must not fill /dev with an image.
 */

import { constants } from 'node:fs';
import { open, readFile, realpath, stat, type FileHandle } from 'node:fs/promises';
import { errnoOf } from '../../shared/base/errno.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { diskError } from '../install/disk-error.ts';
import { flock } from '../install/path-lock.ts';
import { SlotReader } from './slot-reader.ts';
import { relativeOf } from './slot-relatives.ts';

const SECTOR_BYTES = 512;
export interface SlotDevice {
  readonly path: string;
  /** Size of the device in bytes. */
  readonly bytes: number;
  /** @throws DroverError DISK_FULL, DISK_WRITE_FAILED */
  write(bytes: Uint8Array, atByte: number): Promise<void>;
  /** Fills the buffer. @throws DroverError DISK_WRITE_FAILED */
  read(into: Uint8Array, atByte: number): Promise<void>;
  sync(): Promise<void>;
  /**
   * Reads the first bytes past the page cache, so that they come from the device itself.
   * @returns `cache` when the file system of a file cannot do that
   */
  readBack(bytes: number, take: (piece: Uint8Array) => void): Promise<'device' | 'cache'>;
  close(): Promise<void>;
}

const wrong = (path: string, why: string): DroverError =>
  new DroverError('BOOT_DEVICE_WRONG', `open slot ${path}: ${why}`);
const busy = (path: string, why: string): DroverError =>
  new DroverError('BOOT_DEVICE_BUSY', `open slot ${path}: ${why}`);

/** @throws DroverError BOOT_DEVICE_WRONG, BOOT_DEVICE_BUSY, PERMISSION_DENIED; nothing is written */
export async function openSlotDevice(path: string): Promise<SlotDevice> {
  const found = await stat(path).catch((cause: unknown) => {
    if (errnoOf(cause) === 'ENOENT') throw wrong(path, 'there is nothing');
    throw diskError('open slot', path, cause);
  });
  if (found.isFile()) return await openFile(path, found.size);
  if (!found.isBlockDevice()) throw wrong(path, 'neither a block device nor a file');
  if (found.rdev === (await stat('/')).dev) throw busy(path, 'the running system stands on it');
  const isReadOnly = await readFile(`${blockFolder(found.rdev)}/ro`, 'utf8').catch(() => '');
  if (isReadOnly.trim() === '1') throw wrong(path, 'the device is read-only (blockdev --getro)');
  const device = (await realpath(blockFolder(found.rdev)).catch(() => '')).split('/').at(-1) ?? '';
  await assertAlone(path, { device });
  const handle = await openExclusive(path);
  try {
    return new OpenDevice(path, handle, await sizeOfDevice(path, found.rdev));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** @throws DroverError BOOT_DEVICE_BUSY when another device has the same bytes: it may be mounted */
async function assertAlone(path: string, own: Parameters<typeof relativeOf>[0]): Promise<void> {
  const other = await relativeOf(own);
  if (other === null) return;
  const why =
    'file' in own ? `/dev/${other} stands on it` : `/dev/${other} stands on the same bytes`;
  throw busy(path, why);
}

/** With O_EXCL the kernel refuses a mounted block device, and lets nobody mount it meanwhile. */
async function openExclusive(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | constants.O_EXCL);
  } catch (cause) {
    if (errnoOf(cause) === 'EBUSY') {
      throw busy(path, 'it is mounted, swap, part of another device, or being written to');
    }
    if (errnoOf(cause) === 'ENXIO') throw wrong(path, 'no device stands behind it');
    throw diskError('open slot', path, cause);
  }
}

async function openFile(path: string, bytes: number): Promise<SlotDevice> {
  const real = await realpath(path);
  const { dev, ino } = await stat(real);
  await assertAlone(path, { file: `${dev}:${ino}` });
  const handle = await open(real, constants.O_RDWR | constants.O_NOFOLLOW).catch(
    (cause: unknown) => {
      throw diskError('open slot', path, cause);
    },
  );
  try {
    await lockFile(handle, path);
    return new OpenDevice(path, handle, bytes);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The kernel keeps two writers of a block device apart, and not those of a file. */
async function lockFile(handle: FileHandle, path: string): Promise<void> {
  try {
    await flock(handle.fd, path);
  } catch (thrown) {
    const isHeld = thrown instanceof DroverError && thrown.code === 'ROBOT_ALREADY_RUNNING';
    throw isHeld ? busy(path, 'another program writes to it') : thrown;
  }
}

/** Returns the size in bytes; stat reports 0 for a device. */
async function sizeOfDevice(path: string, rdev: number): Promise<number> {
  const file = `${blockFolder(rdev)}/size`;
  const sectors = Number(await readFile(file, 'utf8').catch(() => 'unknown'));
  if (Number.isSafeInteger(sectors)) return sectors * SECTOR_BYTES;
  throw wrong(path, `its size is not known (${file})`);
}

/** `major:minor` of a block device. @param rdev as `stat` reports it */
export function deviceNumber(rdev: number): string {
  const [major, minor] = [Math.floor(rdev / 256) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)];
  return `${major}:${minor}`;
}

/** The folder of a block device in /sys. @param rdev as `stat` reports it */
export const blockFolder = (rdev: number): string => `/sys/dev/block/${deviceNumber(rdev)}`;

class OpenDevice implements SlotDevice {
  readonly path: string;
  readonly bytes: number;
  readonly #handle: FileHandle;

  constructor(path: string, handle: FileHandle, bytes: number) {
    this.path = path;
    this.#handle = handle;
    this.bytes = bytes;
  }

  async write(bytes: Uint8Array, atByte: number): Promise<void> {
    await this.#try('write', async () => {
      for (let done = 0; done < bytes.byteLength;) {
        const left = bytes.byteLength - done;
        const { bytesWritten } = await this.#handle.write(bytes, done, left, atByte + done);
        done += bytesWritten;
      }
    });
  }

  async read(into: Uint8Array, atByte: number): Promise<void> {
    await this.#try('read', () => fill(this.#handle, into, atByte));
  }

  async sync(): Promise<void> {
    await this.#try('fsync', () => this.#handle.sync());
  }

  async close(): Promise<void> {
    await this.#try('close', () => this.#handle.close());
  }

  async readBack(bytes: number, take: (piece: Uint8Array) => void): Promise<'device' | 'cache'> {
    return await this.#try('read back', async () => {
      const reader = await SlotReader.open(this.path);
      try {
        for (let at = 0; at < bytes;) {
          const piece = await reader.read(at, bytes - at);
          if (piece.byteLength === 0) throw new Error(`it ends after ${at} bytes`);
          take(piece);
          at += piece.byteLength;
        }
        return reader.way;
      } finally {
        await reader.close();
      }
    });
  }

  async #try<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (cause) {
      throw diskError(what, this.path, cause);
    }
  }
}

async function fill(handle: FileHandle, into: Uint8Array, atByte: number): Promise<void> {
  for (let done = 0; done < into.byteLength;) {
    const { bytesRead } = await handle.read(into, done, into.byteLength - done, atByte + done);
    if (bytesRead === 0) throw new Error(`it ends after ${atByte + done} bytes`);
    done += bytesRead;
  }
}
