/**
 * `npm run bench -- peers [MIB] [RUNS]`: the same tree of files, from a server on this machine, by
 * `rauc install`, `swupdate`, `mender install` and our agent, in turn: once 4,000 small files, once
 * four large ones. Each run ends when the program would start the new version. Downloads, state and
 * the installed tree lie on devices of their own, whose counters say what was written. Needs root,
 * rauc, swupdate, mender-client, mender-artifact, nginx, curl and e2fsprogs.
 */

import { DroverError } from '../shared/base/errors.ts';
import { withCleanUp } from './clean-up.ts';
import { median } from './median.ts';
import { appendResult } from './results.ts';
import { openTreeStage, type TreeRun, type TreeStage } from './tree-stage.ts';
import {
  installByDrover,
  installByMender,
  installByRauc,
  installBySwupdate,
} from './tree-updaters.ts';

const MIB_DEFAULT = 128;
const RUNS_DEFAULT = 3;
/** Files of each tree. */
const TREES = [4_000, 4] as const;

type Updater = (stage: TreeStage, run: number) => Promise<TreeRun>;

const UPDATERS: readonly (readonly [name: string, update: Updater])[] = [
  ['rauc install of a tar.gz, from a file that curl fetched', installByRauc],
  ['swupdate -d, archive handler', installBySwupdate],
  ['mender install, module directory', installByMender],
  ['drover-robot, from our broker', installByDrover],
];

const COLUMNS = [
  'updater',
  's',
  'CPU s',
  'peak MiB of the largest process',
  'MiB fetched',
  'MiB written',
];

function parseArgs(args: readonly string[]): { mebibytes: number; runs: number } {
  const [mebibytes = MIB_DEFAULT, runs = RUNS_DEFAULT] = args.map(Number);
  if ([mebibytes, runs].every((one) => Number.isSafeInteger(one) && one > 0))
    return { mebibytes, runs };
  throw new DroverError('USAGE', 'run bench peers: want [MIB] [RUNS]');
}

export async function benchTrees(args: readonly string[]): Promise<void> {
  const { mebibytes, runs } = parseArgs(args);
  for (const files of TREES) {
    const all = new Map<string, TreeRun[]>();
    await withCleanUp(async (scope) => {
      const stage = await openTreeStage(scope, { files, mebibytes });
      for (let run = 0; run < runs; run += 1) {
        for (const [name, update] of UPDATERS) {
          const one = await update(stage, run);
          all.set(name, [...(all.get(name) ?? []), one]);
          console.log(name, one);
        }
      }
    });
    const command = `npm run bench -- peers ${mebibytes} ${runs}`;
    const rows = [...all].map(([name, of]) => rowOf(name, of));
    const title = `A tree of ${files.toLocaleString('en')} files, ${mebibytes} MiB, side by side`;
    await appendResult(title, command, { columns: COLUMNS, rows });
  }
}

function rowOf(name: string, runs: readonly TreeRun[]): (string | number)[] {
  const middle = (of: keyof TreeRun): number => median(runs.map((run) => run[of]));
  return [
    name,
    middle('seconds').toFixed(2),
    middle('cpuSeconds').toFixed(2),
    middle('peakMiB').toFixed(0),
    middle('fetchedMiB').toFixed(1),
    middle('writtenMiB').toFixed(1),
  ];
}
