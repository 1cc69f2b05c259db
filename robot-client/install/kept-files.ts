/**
 * Keeps the byte code of a release as it was packed: a second name (hard link) for each such file.
 * Python replaces its files by a rename, so the second name still leads to what was packed, and the
 * release stays a base for deltas. It costs a name for each file and no room until one is replaced.
 */

import { isByteCode } from '../../shared/rules/byte-code.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { keptFolder, type Layout } from './layout.ts';
import type { Disk } from './disk-port.ts';

const NAME_DIGITS = 32;

/** One flat name for each path: a folder of 200,000 names needs no folders in it. */
const keptName = (path: string): string => sha256Hex(utf8(path)).slice(0, NAME_DIGITS);

/** Path of the packed bytes of a file; null for a file without a second name. */
export function keptPath(folder: string, path: string): string | null {
  return isByteCode(path) ? `${folder}/${keptName(path)}` : null;
}

export class KeptFiles {
  readonly #disk: Disk;
  readonly #folder: string;
  #made: Promise<void> | null = null;

  /** @param folder made when the first file is kept */
  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  /** @param at where the file is; @param path in the release */
  async keep(at: string, path: string): Promise<void> {
    const second = keptPath(this.#folder, path);
    if (second === null) return;
    this.#made ??= this.#make();
    await this.#made;
    await this.#disk.hardLink(at, second);
  }

  async finish(): Promise<void> {
    if (this.#made) await this.#disk.syncFolder(this.#folder);
  }

  async #make(): Promise<void> {
    await this.#disk.removeTree(this.#folder); // of a run before
    await this.#disk.mkdir(this.#folder);
  }
}

/** Takes the kept files of a staged release to their place. */
export async function admitKept(
  disk: Disk,
  staged: string,
  { layout, version }: { layout: Layout; version: string },
): Promise<void> {
  if ((await disk.kind(staged)) !== 'folder') return;
  await disk.mkdir(layout.kept);
  await disk.removeTree(keptFolder(layout, version));
  await disk.rename(staged, keptFolder(layout, version));
  await disk.syncFolder(layout.kept);
  await disk.syncFolder(layout.root);
}
