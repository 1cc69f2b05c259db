/**
 * The image in the slot that runs, as the base of a delta. The slot is opened for reading alone.
 * Its record says which image this agent wrote there, and only the hash of the bytes proves that
 * they are still that image: a slot that was mounted for writing is found out before anything is
 * downloaded. When anything is in doubt, the full image is taken instead.
 */

import { readFile, stat } from 'node:fs/promises';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { MOUNTS_FILE, writableMounts } from '../install/mounted-place.ts';
import type { SystemSlot } from './boot-slots.ts';
import { isSameDevice } from './slot-check.ts';
import { deviceNumber } from './slot-device.ts';
import { SlotReader } from './slot-reader.ts';
import type { SlotRecord } from './slot-records.ts';

export interface RunningSlot {
  readonly slot: SystemSlot;
  /** Path of its device. */
  readonly path: string;
  /** Null when the image in it is unknown. */
  readonly record: SlotRecord | null;
}

const unusable = (slot: SystemSlot, why: string): DroverError =>
  new DroverError('DELTA_BASE_UNUSABLE', `patch from slot ${slot}: ${why}`);

export class SlotBase {
  readonly bytes: number;
  readonly #slot: SystemSlot;
  readonly #reader: SlotReader;
  readonly #record: SlotRecord;

  private constructor(slot: SystemSlot, reader: SlotReader, record: SlotRecord) {
    this.#slot = slot;
    this.#reader = reader;
    this.#record = record;
    this.bytes = record.size;
  }

  /**
   * @param version that the delta is from
   * @throws DroverError DELTA_BASE_UNUSABLE
   */
  static async open({ slot, path, record }: RunningSlot, version: string): Promise<SlotBase> {
    if (record === null) {
      throw unusable(slot, 'no record says which image is in it');
    }
    if (record.version !== version) {
      throw unusable(slot, `it holds another version (got ${record.version}, want ${version})`);
    }
    const point = await writablePoint(path);
    if (point !== null) throw unusable(slot, `${path} is mounted for writing at ${point}`);
    const found = await stat(path).catch((thrown: unknown) => {
      throw unusable(slot, toProblem(thrown).message);
    });
    if (!found.isFile() && !found.isBlockDevice()) throw unusable(slot, `${path} is no device`);
    const reader = await SlotReader.open(path).catch((thrown: unknown) => {
      throw unusable(slot, toProblem(thrown).message);
    });
    return new SlotBase(slot, reader, record);
  }

  /**
   * Like reading a file of `bytes` bytes: up to `into.byteLength` bytes, 0 at the end.
   * @throws DroverError DELTA_BASE_UNUSABLE for a slot that is shorter or cannot be read
   */
  async read(into: Uint8Array, atByte: number): Promise<number> {
    const wanted = Math.min(into.byteLength, this.bytes - atByte);
    if (wanted <= 0) return 0;
    const piece = await this.#reader.read(atByte, wanted).catch((thrown: unknown) => {
      throw unusable(this.#slot, `read at byte ${atByte}: ${toProblem(thrown).message}`);
    });
    into.set(piece);
    if (piece.byteLength > 0) return piece.byteLength;
    throw unusable(this.#slot, `it ends after ${atByte} bytes (want ${this.bytes})`);
  }

  /**
   * @throws DroverError DELTA_BASE_CHANGED, DELTA_BASE_OTHER, DELTA_BASE_UNUSABLE, or the signal's
   *   reason
   */
  async assertIs(sha256: Sha256Hex, signal: AbortSignal): Promise<void> {
    const hash = new Sha256Stream();
    const block = Buffer.allocUnsafe(LIMITS.imageBlockBytes);
    while (hash.bytes < this.bytes) {
      signal.throwIfAborted();
      hash.update(block.subarray(0, await this.read(block, hash.bytes)));
    }
    const got = hash.digestHex();
    if (got === sha256) return;
    const hashes = `got ${shortHash(got)}, want ${shortHash(sha256)}`;
    const { version, sha256: written } = this.#record;
    if (got === written) {
      const why = `it holds ${version} as it was installed, and the delta was made from another image`;
      throw new DroverError(
        'DELTA_BASE_OTHER',
        `patch from slot ${this.#slot}: ${why} (${hashes})`,
      );
    }
    throw new DroverError(
      'DELTA_BASE_CHANGED',
      `patch from slot ${this.#slot}: it was written to since it was installed (${hashes})`,
      {
        hint: 'mount the slots read-only (docs/system-images.md): one mount for writing changes a slot',
      },
    );
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

/** Where the device is mounted with a file system that may write to it; null for nowhere. */
async function writablePoint(path: string): Promise<string | null> {
  const found = await stat(path).catch(() => null); // opening it reports why
  const own = found?.isBlockDevice() === true ? deviceNumber(found.rdev) : null;
  const mounts = await readFile(MOUNTS_FILE, 'utf8').catch(() => ''); // the hash decides all the same
  for (const { point, device, source } of writableMounts(mounts)) {
    const isIt = device === own || (source.startsWith('/') && (await isSameDevice(source, path)));
    if (isIt) return point;
  }
  return null;
}
