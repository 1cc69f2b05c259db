/** The three updaters of `bench image`: each from its start to the moment of its reboot. */

import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '../test/helpers/block-device.ts';
import { startDrover } from '../test/helpers/child.ts';
import { A, makeOwn } from '../test/robot-client/boot/boot-loaders.ts';
import { familyCpuSeconds } from './process-stats.ts';
import type { ImageRun, ImageStage } from './image-stage.ts';
import { publishOne, raucInstall, RUN_MS_MAX, swupdateInstall } from './updaters.ts';
import type { UpdaterRun } from './update-stage.ts';

export const runRauc = async (stage: ImageStage): Promise<ImageRun> =>
  await raucInstall(stage, { name: 'rootfs.img', path: stage.image, type: 'raw' });

export async function runSwupdate(stage: ImageStage): Promise<ImageRun> {
  const name = 'rootfs.img.gz';
  const path = join(stage.folder, name);
  await stage.once('gzip', () => {
    runTool('bash', '-c', `gzip -6 -c '${stage.image}' > '${path}'`);
    return Promise.resolve(path);
  });
  const entry = (sha256: string): string => `images: ( {
      filename = "${name}"; device = "${stage.slot}"; compressed = "zlib";
      installed-directly = true; sha256 = "${sha256}"; } );`;
  return await swupdateInstall(stage, { name, path, entry });
}

/** A new robot in each run: none has seen the image. Its reboot command notes what the agent used. */
export async function runDrover(stage: ImageStage, run: number): Promise<ImageRun> {
  const { site, url } = await stage.once('drover', () =>
    publishOne(stage, ['--image', stage.image, '--compatible', 'bench']),
  );
  const home = join(stage.data, `robot-${run}`);
  const boot = join(home, 'boot.d');
  await mkdir(boot, { recursive: true });
  await (await makeOwn(boot)).open(A);
  await writeFile(join(home, 'slot-a'), '');
  const reboot = join(home, 'reboot');
  const note = `cat /proc/$PPID/stat > '${home}/stat'; cat /proc/$PPID/status > '${home}/status'`;
  await writeFile(reboot, `#!/bin/sh\n${note}\nkill -9 $PPID\n`);
  await chmod(reboot, 0o755);
  const counted = await stage.counted(async () => {
    const startedAt = performance.now();
    const child = startDrover(stage.scope, 'robot-client', [
      ...['--id', `bench-${run}`, '--root', join(home, 'root'), '--broker', url],
      ...['--trust', site.path('trust.json'), '--compatible', 'bench'],
      ...['--boot', `programs:${boot}`, '--reboot-command', reboot],
      ...['--slot-device', `A=${join(home, 'slot-a')},B=${stage.slot}`],
    ]);
    const over = await Promise.race([child.exit.then(() => true), sleep(RUN_MS_MAX)]);
    if (over !== true) throw new Error(child.describe());
    const seconds = (performance.now() - startedAt) / 1000;
    return { seconds, ...(await usedBy(home)) };
  });
  await rm(home, { recursive: true });
  return counted;
}

const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms).unref());

async function usedBy(home: string): Promise<Omit<UpdaterRun, 'seconds'>> {
  const stat = await readFile(join(home, 'stat'), 'utf8');
  const status = await readFile(join(home, 'status'), 'utf8');
  const peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  return { cpuSeconds: familyCpuSeconds(stat), peakMiB: peak };
}
