/**
 * The real disk with a gate before every operation: a test decides there whether it goes through,
 * fails, or never ends. A failed operation has not happened.
 */

import type { Disk, DiskFile, OpenUse } from '../../robot-client/install/disk-port.ts';
import { realDisk } from '../../robot-client/install/disk.ts';

export interface DiskOperation {
  readonly name: Exclude<keyof Disk, 'open'> | OpenUse | 'look' | keyof DiskFile;
  readonly path: string;
}

/** Throws, waits, or lets the operation pass. */
export type Gate = (operation: DiskOperation) => void | Promise<void>;

const READS: readonly DiskOperation['name'][] = [
  'kind',
  'canRename',
  'mountsIn',
  'stat',
  'readlink',
  'identity',
  'list',
  'readFile',
  'look',
  'read',
  'size',
  'close',
  'syncAllFrom',
  'allocated',
  'free',
];

/** True for what a read-only file system refuses. */
export const isChange = ({ name }: DiskOperation): boolean => !READS.includes(name);

export function faultyDisk(gate: Gate, disk: Disk = realDisk): Disk {
  const wrapFile = (file: DiskFile, path: string): DiskFile => {
    const pass = async <T>(name: keyof DiskFile, run: () => Promise<T>): Promise<T> => {
      await gate({ name, path });
      return await run();
    };
    return {
      read: (into, at) => pass('read', () => file.read(into, at)),
      write: (bytes, at) => pass('write', () => file.write(bytes, at)),
      size: () => pass('size', () => file.size()),
      setMode: (mode) => pass('setMode', () => file.setMode(mode)),
      setTime: (timeS) => pass('setTime', () => file.setTime(timeS)),
      sync: () => pass('sync', () => file.sync()),
      close: () => file.close(), // a program may always let go
    };
  };
  const gated = <K extends Exclude<keyof Disk, 'open'>>(name: K): Disk[K] => {
    const run = (disk[name] as (...args: unknown[]) => Promise<unknown>).bind(disk);
    const pass = async (...args: unknown[]): Promise<unknown> => {
      // Of two paths the last is the one that is changed.
      const path = args.flat().findLast((one) => typeof one === 'string') as string;
      await gate({ name, path });
      return await run(...args);
    };
    return pass as unknown as Disk[K];
  };
  return {
    kind: gated('kind'),
    stat: gated('stat'),
    readlink: gated('readlink'),
    identity: gated('identity'),
    list: gated('list'),
    readFile: gated('readFile'),
    mkdir: gated('mkdir'),
    chmod: gated('chmod'),
    hardLink: gated('hardLink'),
    symlink: gated('symlink'),
    rename: gated('rename'),
    canRename: gated('canRename'),
    mountsIn: gated('mountsIn'),
    unlink: gated('unlink'),
    copyTree: gated('copyTree'),
    removeTree: gated('removeTree'),
    syncFolder: gated('syncFolder'),
    syncAllFrom: gated('syncAllFrom'),
    syncAll: gated('syncAll'),
    reserve: gated('reserve'),
    allocated: gated('allocated'),
    free: gated('free'),
    open: async (path, use, mode) => {
      await gate({ name: use === 'read' ? 'look' : use, path });
      return wrapFile(await disk.open(path, use, mode), path);
    },
  };
}
