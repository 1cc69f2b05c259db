/**
 * `npm run bench -- peers [MIB] [RUNS]`: the same tree of files, from a server on this machine, by
 * `rauc install`, `swupdate`, `mender install` and our agent, in turn: once 4,000 small files, once
 * four large ones. Each run ends when the program would start the new version. Downloads, state and
 * the installed tree lie on devices of their own, whose counters say what was written. Needs root,
 * rauc, swupdate, mender-client, mender-artifact, nginx, curl and e2fsprogs.
 */

import { withCleanUp } from './clean-up.ts';
import { appendResult } from './results.ts';
import { parseRounds, playInTurn, tableOf, type Named } from './side-by-side.ts';
import { openTreeStage, type TreeRun, type TreeStage } from './tree-stage.ts';
import {
  installByDrover,
  installByMender,
  installByRauc,
  installBySwupdate,
} from './tree-updaters.ts';

const MIB_DEFAULT = 128;
/** Files of each tree. */
const TREES = [4_000, 4] as const;

const UPDATERS: Named<(stage: TreeStage, run: number) => Promise<TreeRun>> = [
  ['rauc install of a tar.gz, from a file that curl fetched', installByRauc],
  ['swupdate -d, archive handler', installBySwupdate],
  ['mender install, module directory', installByMender],
  ['drover-robot, from our broker', installByDrover],
];

const COLUMNS = [
  ['s', 'seconds', 2],
  ['CPU s', 'cpuSeconds', 2],
  ['peak MiB of the largest process', 'peakMiB', 0],
  ['MiB fetched', 'fetchedMiB', 1],
  ['MiB written to the slot', 'slotMiB', 1],
  ['MiB written to the data disk', 'dataMiB', 1],
] as const;

export async function benchTrees(args: readonly string[]): Promise<void> {
  const { mebibytes, runs } = parseRounds('peers', args, MIB_DEFAULT);
  for (const files of TREES) {
    let all: Named<readonly TreeRun[]> = [];
    await withCleanUp(async (scope) => {
      const stage = await openTreeStage(scope, { files, mebibytes });
      all = await playInTurn(UPDATERS, runs, (update, run) => update(stage, run));
    });
    const command = `npm run bench -- peers ${mebibytes} ${runs}`;
    const title = `A tree of ${files.toLocaleString('en')} files, ${mebibytes} MiB, side by side`;
    await appendResult(title, command, tableOf(all, COLUMNS));
  }
}
