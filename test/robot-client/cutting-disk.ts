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
  const changing = <A extends unknown[], R>(run: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      gate();
      return await run(...args);
    };
  };
  const wrapFile = (file: DiskFile): DiskFile => ({
    read: (into, at) => file.read(into, at),
    size: () => file.size(),
    close: () => file.close(),
    write: changing((bytes, at) => file.write(bytes, at)),
    setMode: changing((mode) => file.setMode(mode)),
    setTime: changing((timeS) => file.setTime(timeS)),
    sync: changing(() => file.sync()),
  });
  return {
    ...realDisk,
    operations: () => done,
    open: async (path, use, mode) => {
      if (use !== 'read') gate();
      return wrapFile(await realDisk.open(path, use, mode));
    },
    mkdir: changing(realDisk.mkdir),
    chmod: changing(realDisk.chmod),
    hardLink: changing(realDisk.hardLink),
    symlink: changing(realDisk.symlink),
    rename: changing(realDisk.rename),
    unlink: changing(realDisk.unlink),
    copyTree: changing(realDisk.copyTree),
    removeTree: changing(realDisk.removeTree),
    syncFolder: changing(realDisk.syncFolder),
    syncAll: changing(realDisk.syncAll),
    reserve: changing(realDisk.reserve),
  };
}
