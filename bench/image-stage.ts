/**
 * The stage of `bench image`: one real file system as the image, a slot on a loop device, a data disk
 * on another one, nginx, and counters of what is written and fetched.
 */

import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attachLoop, detachLoop, runTool } from '../test/helpers/block-device.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { tempFolder } from '../test/helpers/temp-folder.ts';
import { startNginx } from './peers.ts';
import { REPOSITORY } from './results.ts';

const MIB = 1024 * 1024;
const SECTORS_PER_MIB = 2048;
/** The slot is larger than the image, as on a robot. */
const SPARE_MIB = 16;
const DATA_MIB_MIN = 2048;

export interface ImageRun {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
  readonly fetchedMiB: number;
  readonly slotMiB: number;
  readonly dataMiB: number;
}

/** Figures that an updater tells itself; the stage counts the rest. */
export type UpdaterRun = Omit<ImageRun, 'fetchedMiB' | 'slotMiB' | 'dataMiB'>;

export interface ImageStage {
  readonly scope: Scope;
  readonly image: string;
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
  count(update: () => Promise<UpdaterRun>): Promise<ImageRun>;
  spoilSlot(): Promise<void>;
  /** @throws Error when the slot does not hold the image */
  assertWritten(): Promise<void>;
}

async function makeImage(path: string, mebibytes: number): Promise<void> {
  await truncate(path, mebibytes * MIB).catch(async () => {
    await writeFile(path, '');
    await truncate(path, mebibytes * MIB);
  });
  // Hard links of npm's folder are plain files in there.
  runTool('mke2fs', '-q', '-t', 'ext4', '-d', join(REPOSITORY, 'node_modules'), path);
}

export async function loopOf(scope: Scope, path: string, mebibytes: number): Promise<string> {
  await writeFile(path, '');
  await truncate(path, mebibytes * MIB);
  const device = attachLoop(path);
  scope.after(() => detachLoop(device));
  return device;
}

export async function mountData(scope: Scope, folder: string, mebibytes: number) {
  const device = await loopOf(scope, join(folder, 'data.img'), mebibytes);
  runTool('mkfs.ext4', '-q', device);
  const data = join(folder, 'data');
  await mkdir(data);
  runTool('mount', device, data);
  scope.after(() => void runTool('umount', '-l', data));
  return { device, data };
}

export async function openImageStage(scope: Scope, mebibytes: number): Promise<ImageStage> {
  const folder = await tempFolder(scope);
  const image = join(folder, 'rootfs.img');
  await makeImage(image, mebibytes);
  const wanted = await hashOf(image, mebibytes * MIB);
  const slot = await loopOf(scope, join(folder, 'slot.img'), mebibytes + SPARE_MIB);
  const disk = await mountData(scope, folder, Math.max(DATA_MIB_MIN, 3 * mebibytes));
  const nginx = await startNginx(scope, join(folder, 'nginx'));
  const made = new Map<string, unknown>();
  return {
    ...{ scope, image, folder, slot, data: disk.data, files: join(folder, 'nginx/files') },
    url: `http://127.0.0.1:${nginx.port}`,
    once: async <T>(name: string, make: () => Promise<T>) => {
      if (!made.has(name)) made.set(name, await make());
      return made.get(name) as T;
    },
    count: async (update) => {
      settle();
      const before = await counters(slot, disk.device);
      const run = await update();
      settle(); // what lies in the page cache was written as well
      const after = await counters(slot, disk.device);
      const [fetchedMiB, slotMiB, dataMiB] = after.map((one, at) => one - (before[at] ?? 0));
      return { ...run, fetchedMiB, slotMiB, dataMiB } as ImageRun;
    },
    spoilSlot: async () => {
      const file = await open(slot, 'r+');
      const noise = randomBytes(MIB);
      for (let at = 0; at < mebibytes; at += 1) await file.write(noise, 0, MIB, at * MIB);
      await file.sync();
      await file.close();
    },
    assertWritten: async () => {
      runTool('blockdev', '--flushbufs', slot);
      if ((await hashOf(slot, mebibytes * MIB)) !== wanted) throw new Error('another image');
    },
  };
}

export function settle(): void {
  spawnSync('sync');
}

/** MiB: received over the loopback, written to the slot, written to the data disk. */
export async function counters(slot: string, disk: string): Promise<number[]> {
  const net = await readFile('/proc/net/dev', 'utf8');
  const received = Number(/^\s*lo:\s*(\d+)/m.exec(net)?.[1]) / MIB;
  return [received, await writtenMiB(slot), await writtenMiB(disk)];
}

async function writtenMiB(device: string): Promise<number> {
  const stat = await readFile(`/sys/block/${device.replace('/dev/', '')}/stat`, 'utf8');
  return Number(stat.trim().split(/\s+/)[6]) / SECTORS_PER_MIB;
}

async function hashOf(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { end: bytes - 1, highWaterMark: MIB }))
    hash.update(piece as Buffer);
  return hash.digest('hex');
}
