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
import { LIMITS } from '../../shared/base/limits.ts';
import { binaryToHex } from '../../shared/crypto/hash.ts';
import { printable } from '../../shared/base/printable.ts';
import type { Disk, DiskFile } from '../install/disk-port.ts';
import { syncTree } from '../install/copy-tree.ts';
import { KeptFiles } from '../install/kept-files.ts';
import { RecipeFile } from '../install/recipe-file.ts';
import type { FileHash, HashOf } from '../install/seal-file.ts';
import { untar, type UntarOptions } from '../install/untar.ts';
import { BoundedTasks } from '../install/bounded-tasks.ts';
import { StagedFiles, type StagedFile } from './staged-files.ts';

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
    return await new Stager(options, await disk.syncAllFrom(intoFolder)).run();
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
  readonly #tasks = new BoundedTasks(LIMITS.stageSyncsMax);
  readonly #kept: KeptFiles | null;
  readonly #files: StagedFiles;
  #bytes = 0;

  constructor(options: StageOptions, syncAllFrom: number) {
    const { disk, keptFolder } = options;
    this.#options = options;
    this.#disk = disk;
    this.#kept = keptFolder ? new KeptFiles(disk, keptFolder) : null;
    const at = (path: string): string => this.#at(path);
    this.#files = new StagedFiles({ disk, kept: this.#kept, syncAllFrom, tasks: this.#tasks, at });
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
      await this.#files.finish();
      await this.#finishFolders();
      isBase = (await recipe?.finish()) ?? false;
    } finally {
      await this.#files.idle();
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

  async #makeFile(file: StagedFile, body: AsyncIterable<Uint8Array>): Promise<void> {
    this.#tree.hashed(file.path, await this.#files.make(file, body));
    this.#bytes += file.bytes;
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
    await this.#tasks.settled(); // the source has its final bytes and mode now
    const from = await this.#disk.open(this.#at(action.target), 'read');
    try {
      await this.#makeFile({ ...source, path }, piecesOf(from));
    } finally {
      await from.close();
    }
  }

  /** Modes and names last: a folder is synced when all that it holds is there. */
  async #finishFolders(): Promise<void> {
    const { intoFolder, signal } = this.#options;
    const { isForAll } = this.#files;
    for (const { path, mode } of this.#tree.folders()) {
      await this.#tasks.add(async () => {
        await this.#disk.chmod(this.#at(path), mode);
        if (!isForAll) await this.#disk.syncFolder(this.#at(path));
      });
    }
    await this.#tasks.settled();
    await this.#kept?.finish();
    await this.#disk.chmod(intoFolder, TOP_MODE);
    if (!isForAll) return await this.#disk.syncFolder(intoFolder);
    if (await this.#disk.syncAll(intoFolder, signal)) return;
    await syncTree(this.#disk, intoFolder, signal);
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
