/** The real disk with a power switch: after a number of changing operations nothing works any more,
 * as for a process that was killed between two of them. */

import { realDisk } from '../../robot-client/install/disk.ts';
import type { Disk, DiskFile } from '../../robot-client/install/disk-port.ts';

export class PowerCut extends Error {}

export interface CuttingDisk extends Disk {
  /** Changing operations done so far. */
  readonly operations: () => number;
}

/** @param after the cut comes before operation number `after` (0 cuts the first) */
export function cuttingDisk(after: number): CuttingDisk {
  let done = 0;
  const gate = (): void => {
    if (done >= after) throw new PowerCut(`power cut before operation ${after}`);
    done += 1;
  };
  const wrapFile = (file: DiskFile): DiskFile => ({
    read: (into, at) => file.read(into, at),
    size: () => file.size(),
    close: () => file.close(),
    write: async (bytes, at) => {
      gate();
      await file.write(bytes, at);
    },
    setMode: async (mode) => {
      gate();
      await file.setMode(mode);
    },
    setTime: async (timeS) => {
      gate();
      await file.setTime(timeS);
    },
    sync: async () => {
      gate();
      await file.sync();
    },
  });
  const changing = <A extends unknown[]>(run: (...args: A) => Promise<void>) => {
    return async (...args: A): Promise<void> => {
      gate();
      await run(...args);
    };
  };
  return {
    ...realDisk,
    operations: () => done,
    open: async (path, use, mode) => {
      if (use !== 'read') gate();
      return wrapFile(await realDisk.open(path, use, mode));
    },
    mkdir: changing(realDisk.mkdir),
    chmod: changing(realDisk.chmod),
    hardLink: async (existing, path) => {
      gate();
      return await realDisk.hardLink(existing, path);
    },
    symlink: changing(realDisk.symlink),
    rename: changing(realDisk.rename),
    unlink: changing(realDisk.unlink),
    copyTree: changing(realDisk.copyTree),
    removeTree: changing(realDisk.removeTree),
    syncFolder: changing(realDisk.syncFolder),
    syncAll: async (folder) => {
      gate();
      return await realDisk.syncAll(folder);
    },
    reserve: async (path, bytes) => {
      gate();
      return await realDisk.reserve(path, bytes);
    },
  };
}
