/**
 * Writes the recipe of a release while its tar is unpacked. It is made durable like the release:
 * one that a power cut took would cost a full download the next time.
 */

import { hexToBytes } from '../../shared/crypto/bytes.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { RecipeMaker } from './recipe.ts';
import type { Disk, DiskFile } from './disk-port.ts';

export class RecipeFile {
  readonly maker = new RecipeMaker();
  readonly #file: DiskFile;
  readonly #hash = new Sha256Stream();
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  private constructor(file: DiskFile) {
    this.#file = file;
  }

  static async create(disk: Disk, path: string): Promise<RecipeFile> {
    return new RecipeFile(await disk.open(path, 'create', 0o600));
  }

  async entry(bodyAt: number, body: { path: string; bytes: number } | null): Promise<void> {
    this.maker.entry(bodyAt, body);
    await this.#write(LIMITS.stageReadBytes);
  }

  /** False when the tar is no base; the file is of no use then. */
  async finish(): Promise<boolean> {
    if (this.maker.isAbandoned) return false;
    this.maker.finish();
    await this.#write(0);
    await this.#file.write(hexToBytes(this.#hash.digestHex()) as Uint8Array, this.#hash.bytes);
    await this.#file.sync();
    return true;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Entries are small and many: they go to the disk together. */
  async #write(keepBytesMax: number): Promise<void> {
    const made = this.maker.take();
    this.#waiting.push(made);
    this.#waitingBytes += made.byteLength;
    if (this.#waitingBytes <= keepBytesMax) return;
    const bytes = Buffer.concat(this.#waiting);
    await this.#file.write(bytes, this.#hash.bytes);
    this.#hash.update(bytes);
    [this.#waiting, this.#waitingBytes] = [[], 0];
  }
}
