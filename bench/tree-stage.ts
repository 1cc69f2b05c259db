/** The stage of `bench peers`: one tree of files that every program installs. */

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool, unmountFolder } from '../test/helpers/block-device.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { tempFolder } from '../test/helpers/temp-folder.ts';
import {
  openUpdateStage,
  type Counted,
  type UpdaterRun,
  type UpdateStage,
} from './update-stage.ts';

const MIB = 1024 * 1024;
/** Room for the download, the tree and what a program unpacks in between. */
const DATA_TIMES = 8;
const SLOT_TIMES = 3;
const FILES_PER_FOLDER = 100;

export type TreeRun = UpdaterRun & Counted;

export interface TreeStage extends UpdateStage {
  /** The tree, and the same as `tree.tar.gz`. */
  readonly tree: string;
  readonly archive: string;
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
  const stage = await openUpdateStage(scope, folder, {
    slotMiB: SLOT_TIMES * size.mebibytes,
    dataMiB: DATA_TIMES * size.mebibytes,
  });
  const { slot } = stage;
  const mounted = join(folder, 'mounted');
  await mkdir(mounted);
  const assertIn = (place: string): void => {
    const { status, stdout } = spawnSync('diff', ['-rq', tree, place], { encoding: 'utf8' });
    const others = stdout.split('\n').filter((line) => line !== '' && !/lost\+found/.test(line));
    if (status === null || status > 1 || others.length > 0) throw new Error(others.join('\n'));
  };
  return {
    ...{ ...stage, tree, archive, assertIn },
    formatSlot: () => void runTool('mkfs.ext4', '-q', '-F', slot),
    assertInSlot: async () => {
      runTool('mount', '-o', 'ro', slot, mounted);
      try {
        assertIn(mounted);
      } finally {
        unmountFolder(mounted);
      }
    },
  };
}
