/**
 * The stage of `bench peers`: one tree of files that every program installs, a slot on a loop
 * device, a data disk on another one, nginx, and counters of what is written and fetched.
 */

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool, unmountFolder } from '../test/helpers/block-device.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { tempFolder } from '../test/helpers/temp-folder.ts';
import { counters, loopOf, mountData, settle, type UpdaterRun } from './image-stage.ts';
import { startNginx } from './peers.ts';

const MIB = 1024 * 1024;
/** Room for the download, the tree and what a program unpacks in between. */
const DATA_TIMES = 8;
const SLOT_TIMES = 3;
const FILES_PER_FOLDER = 100;

export interface TreeRun extends UpdaterRun {
  readonly fetchedMiB: number;
  /** To the slot and to the data disk. */
  readonly writtenMiB: number;
}

export interface TreeStage {
  readonly scope: Scope;
  /** Folder for what is made once: keys, bundles. */
  readonly folder: string;
  /** The tree, and the same as `tree.tar.gz`. */
  readonly tree: string;
  readonly archive: string;
  readonly slot: string;
  /** Mount point of the data disk. */
  readonly data: string;
  /** Serves the folder `files` at `url`. */
  readonly files: string;
  readonly url: string;
  /** Makes something once, at its first use. */
  once<T>(name: string, make: () => Promise<T>): Promise<T>;
  /** Adds what was written and fetched while `update` ran. */
  count(update: () => Promise<UpdaterRun>): Promise<TreeRun>;
  /** An empty file system in the slot. */
  formatSlot(): void;
  /** @throws Error when the slot, or another folder, does not hold the tree */
  assertInSlot(): Promise<void>;
  assertIn(folder: string): void;
}

interface TreeSize {
  readonly files: number;
  readonly mebibytes: number;
}

/** Text of random bytes, which packs by a quarter as programs and models do. */
async function makeTree(folder: string, { files, mebibytes }: TreeSize): Promise<void> {
  const bytes = Math.floor((mebibytes * MIB) / files);
  for (let at = 0; at < files; at += 1) {
    const below = join(folder, `d${Math.floor(at / FILES_PER_FOLDER)}`);
    if (at % FILES_PER_FOLDER === 0) await mkdir(below, { recursive: true });
    const text = randomBytes(Math.ceil((bytes * 3) / 4)).toString('base64');
    await writeFile(join(below, `f${at}`), text.slice(0, bytes));
  }
}

export async function openTreeStage(scope: Scope, size: TreeSize): Promise<TreeStage> {
  const folder = await tempFolder(scope);
  const [tree, archive] = [join(folder, 'tree'), join(folder, 'tree.tar.gz')];
  await makeTree(tree, size);
  const owner = ['--owner=0', '--group=0', '--sort=name'];
  runTool('tar', '-czf', archive, ...owner, '-C', tree, '.');
  const slot = await loopOf(scope, join(folder, 'slot.img'), SLOT_TIMES * size.mebibytes);
  const disk = await mountData(scope, folder, DATA_TIMES * size.mebibytes);
  const nginx = await startNginx(scope, join(folder, 'nginx'));
  const made = new Map<string, unknown>();
  const mounted = join(folder, 'mounted');
  await mkdir(mounted);
  const assertIn = (place: string): void => {
    const { status, stdout } = spawnSync('diff', ['-rq', tree, place], { encoding: 'utf8' });
    const others = stdout.split('\n').filter((line) => line !== '' && !/lost\+found/.test(line));
    if (status === null || status > 1 || others.length > 0) throw new Error(others.join('\n'));
  };
  return {
    ...{ scope, folder, tree, archive, slot, data: disk.data },
    files: join(folder, 'nginx/files'),
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
      const [fetchedMiB = 0, ...written] = after.map((one, at) => one - (before[at] ?? 0));
      return { ...run, fetchedMiB, writtenMiB: written.reduce((sum, one) => sum + one, 0) };
    },
    formatSlot: () => void runTool('mkfs.ext4', '-q', '-F', slot),
    assertInSlot: async () => {
      runTool('mount', '-o', 'ro', slot, mounted);
      try {
        assertIn(mounted);
      } finally {
        unmountFolder(mounted);
      }
    },
    assertIn,
  };
}
