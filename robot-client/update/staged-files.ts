/**
 * Makes the files of a staged tree with few calls for each, hashes them as they are written, and
 * makes them durable at the end. A file has its own mode from the start, so it is never open to
 * more people than it may be. In a tree of many files one `syncAll` makes them durable
 * together; the files of a small one wait for that decision with their handles open, because fsync
 * of a file that was opened again may not report what failed before.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { isByteCode } from '../../shared/rules/byte-code.ts';
import { BoundedTasks } from '../install/bounded-tasks.ts';
import type { Disk, DiskFile } from '../install/disk-port.ts';
import type { KeptFiles } from '../install/kept-files.ts';

export interface StagedFile {
  readonly path: string;
  readonly mode: number;
  readonly bytes: number;
  readonly timeS?: number | undefined;
}

interface StagedFilesOptions {
  readonly disk: Disk;
  readonly kept: KeptFiles | null;
  /** As `Disk.syncAllFrom` answered. */
  readonly syncAllFrom: number;
  readonly tasks: BoundedTasks;
  /** Where a path of the archive is made. */
  at(path: string): string;
}

export class StagedFiles {
  readonly #options: StagedFilesOptions;
  readonly #disk: Disk;
  readonly #tasks: BoundedTasks;
  /** Modes with which the file system makes files as asked; it gives others less. */
  readonly #asAsked = new Map<number, boolean>();
  /** Small files that are not durable yet, and will be by themselves or by `syncAll`. */
  #waiting: DiskFile[] = [];
  #isForAll = false;

  constructor(options: StagedFilesOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.#tasks = options.tasks;
  }

  /** True when the files are durable only after `syncAll`. */
  get isForAll(): boolean {
    return this.#isForAll;
  }

  /** @returns the hash, as `Sha256Stream.digestBinary` has it */
  async make(file: StagedFile, body: AsyncIterable<Uint8Array>): Promise<string> {
    const hash = new Sha256Stream();
    if (file.bytes > LIMITS.stageReadBytes) {
      await this.#makeLarge(file, body, hash);
    } else {
      const whole = await gather(file, body, hash);
      await this.#tasks.add(async () => this.#finish(await this.#open(file), file, whole));
    }
    return hash.digestBinary();
  }

  /** Files that wait for it are durable, unless they are left to `syncAll`. */
  async finish(): Promise<void> {
    await this.#tasks.settled();
    for (let file = this.#waiting.shift(); file; file = this.#waiting.shift()) {
      await this.#tasks.add(syncing(file));
    }
    await this.#tasks.settled();
  }

  /** After a failure: no task runs, and nothing is open. */
  async idle(): Promise<void> {
    await this.#tasks.idle();
    await Promise.all(this.#waiting.splice(0).map((file) => file.close()));
  }

  async #makeLarge(
    file: StagedFile,
    body: AsyncIterable<Uint8Array>,
    hash: Sha256Stream,
  ): Promise<void> {
    const handle = await this.#open(file);
    try {
      for await (const piece of body) {
        await handle.write(piece, hash.bytes);
        hash.update(piece);
      }
      assertWhole(file, hash.bytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
    await this.#tasks.add(() => this.#finish(handle, file, null));
  }

  async #open({ path, mode }: StagedFile): Promise<DiskFile> {
    return await this.#disk.open(this.#options.at(path), 'new', mode);
  }

  /** @param whole all bytes of a small file; null for a large one, which was written */
  async #finish(handle: DiskFile, file: StagedFile, whole: Uint8Array | null): Promise<void> {
    const { path, timeS = 0 } = file;
    let isLeftOpen = false;
    try {
      if (whole !== null && whole.byteLength > 0) await handle.write(whole, 0);
      if (!(await this.#isAsAsked(file))) await handle.setMode(file.mode);
      if (timeS > 0) await handle.setTime(timeS);
      // The disk is busy with a large file for longer than with its fsync.
      const isByItself = whole === null || this.#options.syncAllFrom === Infinity;
      if (isByItself) await handle.sync();
      if (isByteCode(path)) await this.#options.kept?.keep(this.#options.at(path), path);
      isLeftOpen = !isByItself && !this.#isForAll;
    } finally {
      if (!isLeftOpen) await handle.close();
    }
    if (isLeftOpen) await this.#wait(handle);
  }

  /** The umask, an ACL or the file system itself may take bits away, each time the same ones. */
  async #isAsAsked({ path, mode }: StagedFile): Promise<boolean> {
    const known = this.#asAsked.get(mode);
    if (known !== undefined) return known;
    const isIt = (await this.#disk.stat(this.#options.at(path))).mode === mode;
    this.#asAsked.set(mode, isIt);
    return isIt;
  }

  async #wait(handle: DiskFile): Promise<void> {
    this.#waiting.push(handle);
    if (this.#waiting.length < this.#options.syncAllFrom) return;
    this.#isForAll = true;
    await Promise.all(this.#waiting.splice(0).map((file) => file.close()));
  }
}

const syncing = (file: DiskFile) => async (): Promise<void> => {
  try {
    await file.sync();
  } finally {
    await file.close();
  }
};

async function gather(
  file: StagedFile,
  body: AsyncIterable<Uint8Array>,
  hash: Sha256Stream,
): Promise<Uint8Array> {
  let whole: Uint8Array = Buffer.alloc(0);
  for await (const piece of body) {
    const isAll = piece.byteLength === file.bytes;
    if (hash.bytes === 0) whole = isAll ? piece : Buffer.allocUnsafe(file.bytes);
    const hasRoom = hash.bytes + piece.byteLength <= file.bytes;
    if (!isAll && hasRoom) whole.set(piece, hash.bytes);
    hash.update(piece);
  }
  assertWhole(file, hash.bytes);
  return whole;
}

function assertWhole({ path, bytes }: StagedFile, got: number): void {
  if (got === bytes) return;
  throw new DroverError(
    'ARCHIVE_CORRUPT',
    `unpack "${printable(path)}": cut short (got ${got} bytes, want ${bytes})`,
  );
}
