/**
 * A real file system on a disk that writes down each write and each FLUSH. `qemu-storage-daemon`
 * exports a raw file over FUSE with its driver `blklogwrites` above it; a loop device stands on the
 * file, and the file system of this machine on the loop device. The loop device hands a FLUSH down
 * as an fsync, which the export answers with a FLUSH of its own.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { detachLoop, unmountFolder } from '../helpers/block-device.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { kindOf, makeFileSystem, mountFileSystem, type FileSystem } from './file-systems.ts';
import { exportLoop } from './fuse-export.ts';
import { readEntries, SECTOR_BYTES, type LogEntry } from './write-log.ts';

export const LOGGED_DISK_PROGRAMS = ['qemu-storage-daemon', 'losetup', 'mount', 'umount'];

/** Sparse: only what is logged takes room. */
const LOG_BYTES = 4 * 2 ** 30;

export class LoggedDisk {
  readonly fileSystem: FileSystem;
  readonly logPath: string;
  /** All that was ever written, as a raw image. */
  readonly imagePath: string;
  /** The mount point of the file system. */
  readonly folder: string;
  readonly #export: string;
  readonly #entries: LogEntry[] = [];
  #readTo = SECTOR_BYTES;
  #device: string | null = null;
  #daemon: Child | null = null;

  private constructor(fileSystem: FileSystem, home: string) {
    this.fileSystem = fileSystem;
    this.logPath = join(home, 'writes.log');
    this.imagePath = join(home, 'disk.img');
    this.folder = join(home, 'disk');
    this.#export = join(home, 'export.img');
  }

  static async open(scope: Scope, fileSystem: FileSystem): Promise<LoggedDisk> {
    let made: LoggedDisk | null = null;
    const close = (): void => {
      process.removeListener('exit', close);
      made?.detach();
    };
    process.once('exit', close);
    // Before and after the folder that holds the mount: hooks of a test run in the order they were
    // given, those of a bench the other way round.
    scope.after(close);
    const home = await tempFolder(scope);
    const disk = new LoggedDisk(fileSystem, home);
    made = disk;
    await disk.#start(scope);
    scope.after(close);
    return disk;
  }

  async #start(scope: Scope): Promise<void> {
    const raw = this.imagePath;
    await mkdir(this.folder);
    for (const file of [raw, this.logPath, this.#export]) await writeFile(file, '');
    await truncate(raw, kindOf(this.fileSystem).imageBytes);
    await truncate(this.logPath, LOG_BYTES);
    const nodes = [
      `driver=file,node-name=raw,filename=${raw}`,
      `driver=file,node-name=log,filename=${this.logPath}`,
      'driver=blklogwrites,node-name=top,file=raw,log=log,log-sector-size=512',
    ];
    const args = nodes.flatMap((node) => ['--blockdev', node]);
    const { daemon, device } = await exportLoop(scope, this.#export, args);
    [this.#daemon, this.#device] = [daemon, device];
    makeFileSystem(this.fileSystem, device);
    mountFileSystem(this.fileSystem, device, this.folder);
  }

  /** Every entry so far; what is still in the memory of this machine is not among them. */
  entries(): readonly LogEntry[] {
    const file = openSync(this.logPath, 'r');
    try {
      const { entries, end } = readEntries((offset, length) => {
        const bytes = new Uint8Array(length);
        return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
      }, this.#readTo);
      this.#entries.push(...entries);
      this.#readTo = end;
    } finally {
      closeSync(file);
    }
    return this.#entries;
  }

  /** Ends the disk; the log stays. The log does not record an unmounted disk. */
  async close(): Promise<void> {
    this.detach();
    await this.#daemon?.stop();
  }

  /** The disk is gone while it is in use: every read and write of it fails from now on. */
  async die(): Promise<void> {
    this.#daemon?.kill('SIGKILL');
    await this.#daemon?.exit;
  }

  /** May be called twice. */
  detach(): void {
    if (this.#device === null) return;
    unmountFolder(this.folder);
    detachLoop(this.#device);
    this.#device = null;
    this.#daemon?.kill('SIGTERM');
    unmountFolder(this.#export);
  }
}
