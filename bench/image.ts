/**
 * `npm run bench -- image [MIB] [RUNS]`: the same system image, from a server on this machine into a
 * slot on a loop device, by `rauc install`, by `swupdate` and by our agent, in turn. Each run ends
 * when the program would have the robot reboot. Downloads, state and the slot lie on file systems
 * and devices of their own, whose counters say what was written. Needs root, rauc, swupdate,
 * squashfs-tools, nginx, curl and e2fsprogs.
 */

import { withCleanUp } from './clean-up.ts';
import { openImageStage, type ImageRun, type ImageStage } from './image-stage.ts';
import { runDrover, runRauc, runSwupdate } from './image-updaters.ts';
import { appendResult } from './results.ts';
import { parseRounds, playInTurn, tableOf, type Named } from './side-by-side.ts';

const MIB_DEFAULT = 384;

type Updater = (stage: ImageStage, run: number) => Promise<ImageRun>;

const UPDATERS: Named<Updater> = [
  ['rauc install, from a file that curl fetched', runRauc],
  ['swupdate -d, from HTTP into the slot', runSwupdate],
  ['drover-robot, from our broker', runDrover],
];

const COLUMNS = [
  ['s', 'seconds', 2],
  ['CPU s', 'cpuSeconds', 2],
  ['peak MiB of the largest process', 'peakMiB', 0],
  ['MiB fetched', 'fetchedMiB', 1],
  ['MiB written to the slot', 'slotMiB', 1],
  ['MiB written to the data disk', 'dataMiB', 1],
] as const;

export async function benchImage(args: readonly string[]): Promise<void> {
  const { mebibytes, runs } = parseRounds('image', args, MIB_DEFAULT);
  let all: Named<readonly ImageRun[]> = [];
  await withCleanUp(async (scope) => {
    const stage = await openImageStage(scope, mebibytes);
    all = await playInTurn(UPDATERS, runs, (update, run) => measured(stage, run, update));
  });
  const command = `npm run bench -- image ${mebibytes} ${runs}`;
  const title = `One system image of ${mebibytes} MiB into a slot`;
  await appendResult(title, command, tableOf(all, COLUMNS));
}

/** The slot holds random bytes before, so that only what was written can be right afterwards. */
async function measured(stage: ImageStage, run: number, update: Updater): Promise<ImageRun> {
  await stage.spoilSlot();
  const one = await update(stage, run);
  await stage.assertWritten();
  return one;
}
