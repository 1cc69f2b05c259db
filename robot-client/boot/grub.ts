/**
 * The mark for GRUB: two environment blocks with the same content, `drover-1.env` and
 * `drover-2.env`, in a folder that GRUB reads before it boots. The example in examples/ab-grub has
 * the script that reads them.
 *
 * Both files are overwritten in place, the first one before the second. GRUB knows the blocks of a
 * file and not the journal of its file system, so a file must not be renamed. While one copy is
 * being written, the other one is valid.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { Disk } from '../install/disk-port.ts';
import { writeWhole } from '../install/small-file.ts';
import type { BootMark, MarkStore } from './boot-mark.ts';
import { chooseCopy, encodeGrubEnv, GRUB_ENV_BYTES } from './grub-env.ts';

/** The order in which GRUB reads them. */
export const GRUB_COPIES = ['drover-1.env', 'drover-2.env'] as const;

export class GrubMark implements MarkStore {
  readonly place: string;
  readonly #disk: Disk;
  readonly #paths: readonly string[];

  /** @param folder existing folder such as `/boot/grub` */
  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#paths = GRUB_COPIES.map((name) => `${folder}/${name}`);
    this.place = this.#paths.join(', ');
  }

  async read(): Promise<BootMark | null> {
    const copies: (Uint8Array | null)[] = [];
    for (const path of this.#paths) {
      copies.push((await this.#isBlock(path)) ? await this.#readBlock(path) : null);
    }
    return chooseCopy(copies);
  }

  async write(mark: BootMark): Promise<void> {
    const block = encodeGrubEnv(mark);
    for (const path of this.#paths) {
      if (await this.#isBlock(path)) await this.#overwrite(path, block);
      else await writeWhole(this.#disk, path, block);
    }
  }

  /**
   * True when the file can be overwritten in place: GRUB may not write to the blocks of a file of
   * another length.
   */
  async #isBlock(path: string): Promise<boolean> {
    const { kind, bytes } = await this.#disk.stat(path);
    return kind === 'file' && bytes === GRUB_ENV_BYTES;
  }

  /** Null also for one on a sector that cannot be read: that is what the other copy is for. */
  async #readBlock(path: string): Promise<Uint8Array | null> {
    try {
      return await this.#disk.readFile(path, GRUB_ENV_BYTES);
    } catch (thrown) {
      if (thrown instanceof DroverError && thrown.code === 'DISK_WRITE_FAILED') return null;
      throw thrown;
    }
  }

  async #overwrite(path: string, block: Uint8Array): Promise<void> {
    const file = await this.#disk.open(path, 'update');
    try {
      await file.write(block, 0);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
