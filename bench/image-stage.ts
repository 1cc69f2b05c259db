/** The stage of `bench image`: one real file system as the image, for a slot that held other bytes. */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '../test/helpers/block-device.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { tempFolder } from '../test/helpers/temp-folder.ts';
import { REPOSITORY } from './results.ts';
import {
  openUpdateStage,
  type Counted,
  type UpdaterRun,
  type UpdateStage,
} from './update-stage.ts';

const MIB = 1024 * 1024;
/** The slot is larger than the image, as on a robot. */
const SPARE_MIB = 16;
const DATA_MIB_MIN = 2048;

export type ImageRun = UpdaterRun & Counted;

export interface ImageStage extends UpdateStage {
  readonly image: string;
  spoilSlot(): Promise<void>;
  /** @throws Error when the slot does not hold the image */
  assertWritten(): Promise<void>;
}

async function makeImage(path: string, mebibytes: number): Promise<void> {
  await writeFile(path, '');
  await truncate(path, mebibytes * MIB);
  // Hard links of npm's folder are plain files in there.
  runTool('mke2fs', '-q', '-t', 'ext4', '-d', join(REPOSITORY, 'node_modules'), path);
}

export async function openImageStage(scope: Scope, mebibytes: number): Promise<ImageStage> {
  const folder = await tempFolder(scope);
  const image = join(folder, 'rootfs.img');
  await makeImage(image, mebibytes);
  const wanted = await hashOf(image, mebibytes * MIB);
  const stage = await openUpdateStage(scope, folder, {
    slotMiB: mebibytes + SPARE_MIB,
    dataMiB: Math.max(DATA_MIB_MIN, 3 * mebibytes),
  });
  const { slot } = stage;
  return {
    ...stage,
    image,
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

async function hashOf(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { end: bytes - 1, highWaterMark: MIB }))
    hash.update(piece as Buffer);
  return hash.digest('hex');
}
