/**
 * The stage on which updaters are measured: a slot on a loop device, a data disk on another one,
 * nginx, and counters of what is written and fetched.
 */

import { spawnSync } from 'node:child_process';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attachLoop, detachLoop, runTool } from '../test/helpers/block-device.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { startNginx } from './peers.ts';

const MIB = 1024 * 1024;
const SECTORS_PER_MIB = 2048;

/** Figures that an updater tells itself; the stage counts the rest. */
export interface UpdaterRun {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
}

/** MiB received over the loopback, and written to the slot and to the data disk. */
export interface Counted {
  readonly fetchedMiB: number;
  readonly slotMiB: number;
  readonly dataMiB: number;
}

export interface UpdateStage {
  readonly scope: Scope;
  /** Folder for what is made once: keys, bundles. */
  readonly folder: string;
  readonly slot: string;
  /** Mount point of the data disk. */
  readonly data: string;
  /** Serves the folder `files` at `url`. */
  readonly files: string;
  readonly url: string;
  /** Makes something once, at its first use. */
  once<T>(name: string, make: () => Promise<T>): Promise<T>;
  /** Adds what was written and fetched while `update` ran. */
  counted(update: () => Promise<UpdaterRun>): Promise<UpdaterRun & Counted>;
}

export async function openUpdateStage(
  scope: Scope,
  folder: string,
  { slotMiB, dataMiB }: { readonly slotMiB: number; readonly dataMiB: number },
): Promise<UpdateStage> {
  const slot = await loopOf(scope, join(folder, 'slot.img'), slotMiB);
  const disk = await mountData(scope, folder, dataMiB);
  const nginx = await startNginx(scope, join(folder, 'nginx'));
  const made = new Map<string, unknown>();
  return {
    ...{ scope, folder, slot, data: disk.data, files: join(folder, 'nginx/files') },
    url: `http://127.0.0.1:${nginx.port}`,
    once: async <T>(name: string, make: () => Promise<T>) => {
      if (!made.has(name)) made.set(name, await make());
      return made.get(name) as T;
    },
    counted: async (update) => {
      settle();
      const before = await counters(slot, disk.device);
      const run = await update();
      settle(); // what lies in the page cache was written as well
      const after = await counters(slot, disk.device);
      return {
        ...run,
        fetchedMiB: after.fetchedMiB - before.fetchedMiB,
        slotMiB: after.slotMiB - before.slotMiB,
        dataMiB: after.dataMiB - before.dataMiB,
      };
    },
  };
}

async function loopOf(scope: Scope, path: string, mebibytes: number): Promise<string> {
  await writeFile(path, '');
  await truncate(path, mebibytes * MIB);
  const device = attachLoop(path);
  scope.after(() => detachLoop(device));
  return device;
}

async function mountData(scope: Scope, folder: string, mebibytes: number) {
  const device = await loopOf(scope, join(folder, 'data.img'), mebibytes);
  runTool('mkfs.ext4', '-q', device);
  const data = join(folder, 'data');
  await mkdir(data);
  runTool('mount', device, data);
  scope.after(() => void runTool('umount', '-l', data));
  return { device, data };
}

function settle(): void {
  spawnSync('sync');
}

async function counters(slot: string, disk: string): Promise<Counted> {
  const net = await readFile('/proc/net/dev', 'utf8');
  return {
    fetchedMiB: Number(/^\s*lo:\s*(\d+)/m.exec(net)?.[1]) / MIB,
    slotMiB: await writtenMiB(slot),
    dataMiB: await writtenMiB(disk),
  };
}

async function writtenMiB(device: string): Promise<number> {
  const stat = await readFile(`/sys/block/${device.replace('/dev/', '')}/stat`, 'utf8');
  return Number(stat.trim().split(/\s+/)[6]) / SECTORS_PER_MIB;
}
