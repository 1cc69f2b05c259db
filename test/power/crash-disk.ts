/**
 * Makes the crash states of one log as images, one after the other: a base image has all that is
 * certain up to a FLUSH, and each state is a copy of it with the writes that arrived.
 */

import { closeSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { attachLoop, detachLoop, runTool, unmountFolder } from '../helpers/block-device.ts';
import { kindOf, mountFileSystem, type FileSystem } from './file-systems.ts';
import { SECTOR_BYTES, type CrashState, type LogEntry } from './write-log.ts';

export class CrashDisk {
  readonly #fileSystem: FileSystem;
  readonly #entries: readonly LogEntry[];
  readonly #log: number;
  readonly #basePath: string;
  readonly #base: number;
  /** Writes before this entry are in the base image. */
  #upTo = 0;

  constructor(
    fileSystem: FileSystem,
    log: { path: string; entries: readonly LogEntry[] },
    basePath: string,
  ) {
    this.#fileSystem = fileSystem;
    this.#entries = log.entries;
    this.#log = openSync(log.path, 'r');
    this.#basePath = basePath;
    writeFileSync(basePath, '');
    truncateSync(basePath, kindOf(fileSystem).imageBytes);
    this.#base = openSync(basePath, 'r+');
  }

  close(): void {
    closeSync(this.#log);
    closeSync(this.#base);
  }

  /** Writes the image of a state; states come in the order of the log. */
  make(state: CrashState, imagePath: string): void {
    if (state.flush < this.#upTo) throw new TypeError('crash states must come in their order');
    for (; this.#upTo < state.flush; this.#upTo += 1) this.#write(this.#base, this.#upTo);
    runTool('cp', '--sparse=always', this.#basePath, imagePath);
    const image = openSync(imagePath, 'r+');
    try {
      for (const { entry, fromSector, sectorCount } of state.arrivals) {
        this.#write(image, entry, fromSector, sectorCount);
      }
    } finally {
      closeSync(image);
    }
  }

  #write(image: number, at: number, fromSector = 0, sectorCount?: number): void {
    const entry = this.#entries[at];
    if (entry?.kind === 'discard') throw new TypeError('a discard has no bytes: mount without');
    if (entry?.kind !== 'write') return;
    const bytes = Buffer.alloc((sectorCount ?? entry.sectorCount) * SECTOR_BYTES);
    const from = fromSector * SECTOR_BYTES;
    readSync(this.#log, bytes, 0, bytes.byteLength, entry.logOffset + from);
    writeSync(image, bytes, 0, bytes.byteLength, entry.sector * SECTOR_BYTES + from);
  }

  /** Mounts an image while `run` is at work, as the boot after the power cut does. */
  async mounted<T>(imagePath: string, folder: string, run: () => Promise<T>): Promise<T> {
    return await withMounted(this.#fileSystem, imagePath, folder, run);
  }
}

/** Mounts an image of a file system while `run` is at work. */
export async function withMounted<T>(
  fileSystem: FileSystem,
  imagePath: string,
  folder: string,
  run: () => Promise<T>,
): Promise<T> {
  const device = attachLoop(imagePath);
  const release = (): void => {
    unmountFolder(folder);
    detachLoop(device);
  };
  process.once('exit', release);
  try {
    mountFileSystem(fileSystem, device, folder);
    return await run();
  } finally {
    process.removeListener('exit', release);
    release();
  }
}
