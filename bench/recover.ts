/**
 * `npm run bench -- recover`: the time that a boot waits for `drover-robot recover`, and its
 * memory, for releases of 100, 1,000 and 20,000 files and one of 1 GiB. Three boots of one robot
 * each: an adoption, which seals the release; one after a power cut, which hashes it; one after an
 * orderly end, which compares sizes. The release is in memory: a disk adds its own time.
 */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setCleanMark } from '../robot-client/install/marks.ts';
import { realDisk } from '../robot-client/install/disk.ts';
import { layoutOf } from '../robot-client/install/layout.ts';
import { DroverError } from '../shared/base/errors.ts';
import { measureFamily, type FamilyRun } from './family.ts';
import { appendResult } from './results.ts';

const MiB = 2 ** 20;
const TREES = [
  { name: '100 files of 64 KiB', files: 100, bytes: 64 * 1024 },
  { name: '1,000 files of 16 KiB', files: 1_000, bytes: 16 * 1024 },
  { name: '20,000 files of 4 KiB', files: 20_000, bytes: 4 * 1024 },
  { name: '16 files of 64 MiB', files: 16, bytes: 64 * MiB },
] as const;
type Tree = (typeof TREES)[number];

const FILES_OF_FOLDER = 250;
/** The robot's own: robot-client/drover-robot. */
const FLAGS = ['--max-semi-space-size=1', '--no-opt'];
const MAIN = fileURLToPath(new URL('../drover-robot.js', import.meta.url));

async function makeTree(folder: string, { files, bytes }: Tree): Promise<void> {
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < files; at += 1) {
    const below = join(folder, `part-${Math.floor(at / FILES_OF_FOLDER)}`);
    if (at % FILES_OF_FOLDER === 0) await mkdir(below, { recursive: true });
    content.writeUInt32LE(at);
    await writeFile(join(below, `file-${at}`), content, { mode: at === 0 ? 0o755 : 0o644 });
  }
}

async function boot(root: string): Promise<FamilyRun> {
  const args = ['recover', '--root', root, '--hooks', join(root, 'no-hooks')];
  return await measureFamily(process.execPath, [...FLAGS, MAIN, ...args]);
}

const shown = ({ seconds, peakMiB }: FamilyRun): (string | number)[] => [
  seconds.toFixed(2),
  Math.round(peakMiB),
];

async function measure(tree: Tree): Promise<(string | number)[]> {
  const root = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  try {
    await makeTree(join(root, 'active'), tree);
    const sealed = await boot(root);
    const hashed = await boot(root);
    await setCleanMark(realDisk, layoutOf(root));
    const looked = await boot(root);
    return [tree.name, ...shown(sealed), ...shown(hashed), ...shown(looked)];
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

export async function benchRecover(args: readonly string[]): Promise<void> {
  if (args.length > 0) throw new DroverError('USAGE', 'run bench recover: want no arguments');
  const rows: (string | number)[][] = [];
  for (const tree of TREES) {
    rows.push(await measure(tree));
    console.log(rows.at(-1)?.join(' | '));
  }
  const of = (what: string): string[] => [`${what}, s`, 'peak MiB'];
  await appendResult('recover at a boot', 'npm run bench -- recover', {
    columns: ['release', ...of('adopts and seals'), ...of('hashes'), ...of('looks at sizes')],
    rows,
  });
}
