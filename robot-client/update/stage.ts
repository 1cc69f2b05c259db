/**
 * Stage: unpacks a verified payload into a folder of its own and makes every byte and every name of
 * it durable. The payload is treated as hostile all the same: each entry passes the policy of
 * shared/formats/archive-entry.ts, and nothing is written through a link.
 *
 * Owners in the archive are ignored: a release belongs to the user of the agent. Times of files are
 * kept where the archive has them. Nothing here makes a release visible; the caller renames the
 * folder and syncs the one above it.
 */

import {
  assertUnpackedWithin,
  checkArchiveEntry,
  type ArchiveAction,
  type ArchiveEntry,
} from '../../shared/formats/archive-entry.ts';
import { ArchiveTree } from '../../shared/formats/archive-tree.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { binaryToHex, Sha256Stream } from '../../shared/crypto/hash.ts';
import { printable } from '../../shared/base/printable.ts';
import type { Disk, DiskFile } from '../install/disk-port.ts';
import { KeptFiles } from '../install/kept-files.ts';
import { RecipeFile } from '../install/recipe-file.ts';
import type { FileHash, HashOf } from '../install/seal-file.ts';
import { untar, type UntarOptions } from '../install/untar.ts';

export interface StageOptions {
  readonly disk: Disk;
  /** The payload.tar.gz, or the tar that a delta made; its hash was checked. */
  readonly payloadPath: string;
  /** `gzip` when it is left out. */
  readonly packing?: UntarOptions['packing'];
  /** Path for the recipe of the release; without it no recipe is written. */
  readonly recipePath?: string;
  /** Folder for second names of the byte code; without it none are made. */
  readonly keptFolder?: string;
  /** Created again; the leftover of a former run is removed first. */
  readonly intoFolder: string;
  /**
   * Size of the payload.tar.gz, also for a delta: the bounds on the unpacked size are those of the
   * bundle.
   */
  readonly packedBytes: number;
  /** Bytes of the payload that were unpacked. */
  readonly onProgress?: (packedBytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Staged {
  /** Inodes made, without the top folder. */
  readonly entries: number;
  readonly bytes: number;
  /** There is a recipe: the release can be patched from. */
  readonly isBase: boolean;
  /** Hashes of what was written. They hold the names of the archive in memory. */
  readonly hashOf: HashOf;
}

/** Files are made private and get their own mode when they are whole. */
const UNFINISHED_MODE = 0o600;
const TOP_MODE = 0o755;

/**
 * @throws DroverError ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE, ARCHIVE_CORRUPT, DISK_FULL,
 *   DISK_WRITE_FAILED; or the signal's reason. The folder is removed again then.
 */
export async function stageArchive(options: StageOptions): Promise<Staged> {
  const { disk, intoFolder } = options;
  await disk.removeTree(intoFolder);
  await disk.mkdir(intoFolder);
  try {
    return await new Stager(options).run();
  } catch (error) {
    // A disk that just became full needs the room; the failure itself is the one to throw, and the
    // next run removes whatever this one could not.
    await disk.removeTree(intoFolder).catch(() => undefined);
    throw error;
  }
}

class Stager {
  readonly #options: StageOptions;
  readonly #disk: Disk;
  readonly #tree = new ArchiveTree();
  readonly #syncs = new BoundedTasks(LIMITS.stageSyncsMax);
  readonly #kept: KeptFiles | null;
  #bytes = 0;

  constructor(options: StageOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.#kept = options.keptFolder ? new KeptFiles(options.disk, options.keptFolder) : null;
  }

  async run(): Promise<Staged> {
    const { payloadPath, packing = 'gzip', packedBytes, recipePath } = this.#options;
    const { onProgress, signal } = this.#options;
    const payload = await this.#disk.open(payloadPath, 'read');
    const recipe = recipePath ? await RecipeFile.create(this.#disk, recipePath) : null;
    let isBase = false;
    try {
      await untar({
        packing,
        read: (into, atByte) => payload.read(into, atByte),
        onUnpacked: (bytes) => assertUnpackedWithin(bytes, packedBytes, 'payload'),
        onTar: (piece) => recipe?.maker.feed(piece),
        onPacked: (bytes) => onProgress?.(bytes),
        onEntry: async (entry, body, bodyAt) => {
          const action = this.#judge(entry);
          const file = action.kind === 'file' && action.bytes > 0 ? action : null;
          await recipe?.entry(bodyAt, file);
          await this.#take(action, body);
        },
        signal,
      });
      await this.#syncs.settled();
      await this.#finishFolders();
      isBase = (await recipe?.finish()) ?? false;
    } finally {
      await this.#syncs.idle();
      await recipe?.close();
      await payload.close();
    }
    const hashOf: HashOf = (path) => this.#hashOf(path);
    return { entries: this.#tree.entries, bytes: this.#bytes, isBase, hashOf };
  }

  #hashOf(path: string): FileHash | null {
    const file = this.#tree.fileAt(path);
    if (file?.sha256 === undefined) return null;
    return { bytes: file.bytes, sha256: binaryToHex(file.sha256) };
  }

  #judge(entry: ArchiveEntry): ArchiveAction {
    const soFar = { entries: this.#tree.entries, bytes: this.#bytes };
    return checkArchiveEntry(entry, soFar, this.#options.packedBytes);
  }

  async #take(action: ArchiveAction, body: AsyncIterable<Uint8Array>): Promise<void> {
    if (action.kind === 'ignore') return;
    for (const folder of this.#tree.claim(action)) await this.#disk.mkdir(this.#at(folder));
    switch (action.kind) {
      case 'folder':
        return;
      case 'file':
        return await this.#makeFile(action, body);
      case 'link':
        return await this.#disk.symlink(action.target, this.#at(action.path));
      case 'hardlink':
        return await this.#copy(action);
    }
  }

  async #makeFile(
    file: { path: string; mode: number; bytes: number; timeS?: number | undefined },
    body: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const path = this.#at(file.path);
    const handle = await this.#disk.open(path, 'create', UNFINISHED_MODE);
    const hash = new Sha256Stream();
    try {
      for await (const piece of body) {
        await handle.write(piece, hash.bytes);
        hash.update(piece);
      }
      if (hash.bytes !== file.bytes) {
        throw new DroverError(
          'ARCHIVE_CORRUPT',
          `unpack "${printable(file.path)}": cut short (got ${hash.bytes} bytes, want ${file.bytes})`,
        );
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    this.#bytes += hash.bytes;
    this.#tree.hashed(file.path, hash.digestBinary());
    await this.#syncs.add(() => this.#finishFile(handle, file));
  }

  async #finishFile(
    handle: DiskFile,
    { path, mode, timeS = 0 }: { path: string; mode: number; timeS?: number | undefined },
  ): Promise<void> {
    try {
      await this.#disk.chmod(this.#at(path), mode);
      if (timeS > 0) await this.#disk.setTime(this.#at(path), timeS);
      await handle.sync();
      await this.#kept?.keep(this.#at(path), path);
    } finally {
      await handle.close();
    }
  }

  /**
   * A hard link becomes a file of its own: two names of one inode would change each other when the
   * application writes to one, and a release must not share anything with its past or future.
   */
  async #copy(action: Extract<ArchiveAction, { kind: 'hardlink' }>): Promise<void> {
    const source = this.#tree.fileAt(action.target);
    if (!source) throw new TypeError('stage: the tree let a link to nothing pass');
    const { path } = action;
    const total = this.#bytes + source.bytes;
    assertUnpackedWithin(total, this.#options.packedBytes, `"${printable(path)}"`);
    await this.#syncs.settled(); // the source has its final bytes and mode now
    const from = await this.#disk.open(this.#at(action.target), 'read');
    try {
      await this.#makeFile({ ...source, path }, piecesOf(from));
    } finally {
      await from.close();
    }
  }

  /** Modes and names last: a folder is synced when all that it holds is there. */
  async #finishFolders(): Promise<void> {
    for (const { path, mode } of this.#tree.folders()) {
      await this.#syncs.add(async () => {
        await this.#disk.chmod(this.#at(path), mode);
        await this.#disk.syncFolder(this.#at(path));
      });
    }
    await this.#syncs.settled();
    await this.#kept?.finish();
    await this.#disk.chmod(this.#options.intoFolder, TOP_MODE);
    await this.#disk.syncFolder(this.#options.intoFolder);
  }

  #at(path: string): string {
    return `${this.#options.intoFolder}/${path}`;
  }
}

async function* piecesOf(file: DiskFile): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(LIMITS.stageReadBytes);
  for (let atByte = 0; ;) {
    const bytes = await file.read(buffer, atByte);
    if (bytes === 0) return;
    yield buffer.subarray(0, bytes);
    atByte += bytes;
  }
}

/** Runs tasks beside the caller, at most `tasksMax` of them at once. */
class BoundedTasks {
  readonly #tasksMax: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;

  constructor(tasksMax: number) {
    this.#tasksMax = tasksMax;
  }

  /** Starts a task when there is room; rejects with the failure of an earlier one. */
  async add(run: () => Promise<void>): Promise<void> {
    const task: Promise<void> = run()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
    while (this.#running.size >= this.#tasksMax) await Promise.race(this.#running);
    this.#throwFailure();
  }

  /** Resolves when all tasks have ended; rejects with the first failure of any. */
  async settled(): Promise<void> {
    await this.idle();
    this.#throwFailure();
  }

  /** Resolves when no task runs, whatever came of them. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
