/**
 * `npm run bench -- image [MIB] [RUNS]`: the same system image, from a server on this machine into a
 * slot on a loop device, by `rauc install`, by `swupdate` and by our agent, in turn. Each run ends
 * when the program would have the robot reboot. Downloads, state and the slot lie on file systems
 * and devices of their own, whose counters say what was written. Needs root, rauc, swupdate,
 * squashfs-tools, nginx, curl and e2fsprogs.
 */

import { DroverError } from '../shared/base/errors.ts';
import { withCleanUp } from './clean-up.ts';
import { openImageStage, type ImageRun, type ImageStage } from './image-stage.ts';
import { runDrover, runRauc, runSwupdate } from './image-updaters.ts';
import { median } from './median.ts';
import { appendResult } from './results.ts';

const MIB_DEFAULT = 384;
const RUNS_DEFAULT = 3;

type Updater = (stage: ImageStage, run: number) => Promise<ImageRun>;

const UPDATERS: readonly (readonly [name: string, update: Updater])[] = [
  ['rauc install, from a file that curl fetched', runRauc],
  ['swupdate -d, from HTTP into the slot', runSwupdate],
  ['drover-robot, from our broker', runDrover],
];

function parseArgs(args: readonly string[]): { mebibytes: number; runs: number } {
  const [mebibytes = MIB_DEFAULT, runs = RUNS_DEFAULT] = args.map(Number);
  if ([mebibytes, runs].every((one) => Number.isSafeInteger(one) && one > 0))
    return { mebibytes, runs };
  throw new DroverError('USAGE', 'run bench image: want [MIB] [RUNS]');
}

export async function benchImage(args: readonly string[]): Promise<void> {
  const { mebibytes, runs } = parseArgs(args);
  const all = new Map<string, ImageRun[]>();
  await withCleanUp(async (scope) => {
    const stage = await openImageStage(scope, mebibytes);
    for (let run = 0; run < runs; run += 1) {
      for (const [name, update] of UPDATERS) {
        const one = await measured(stage, run, update);
        all.set(name, [...(all.get(name) ?? []), one]);
        console.log(name, one);
      }
    }
  });
  const command = `npm run bench -- image ${mebibytes} ${runs}`;
  const rows = [...all].map(([name, of]) => rowOf(name, of));
  await appendResult(`One system image of ${mebibytes} MiB into a slot`, command, {
    columns: COLUMNS,
    rows,
  });
}

/** The slot holds random bytes before, so that only what was written can be right afterwards. */
async function measured(stage: ImageStage, run: number, update: Updater): Promise<ImageRun> {
  await stage.spoilSlot();
  const one = await update(stage, run);
  await stage.assertWritten();
  return one;
}

const COLUMNS = [
  'updater',
  's',
  'CPU s',
  'peak MiB of the largest process',
  'MiB fetched',
  'MiB written to the slot',
  'MiB written to the data disk',
];

function rowOf(name: string, runs: readonly ImageRun[]): (string | number)[] {
  const middle = (of: keyof ImageRun): number => median(runs.map((run) => run[of]));
  return [
    name,
    middle('seconds').toFixed(2),
    middle('cpuSeconds').toFixed(2),
    middle('peakMiB').toFixed(0),
    middle('fetchedMiB').toFixed(1),
    middle('slotMiB').toFixed(1),
    middle('dataMiB').toFixed(1),
  ];
}
