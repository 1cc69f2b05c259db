/** The four updaters of `bench peers`: each from its start to the moment of its first new start. */

import { existsSync } from 'node:fs';
import { mkdir, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDrover, type Child } from '../test/helpers/child.ts';
import { readProcessStats } from './process-stats.ts';
import type { TreeRun, TreeStage } from './tree-stage.ts';
import {
  add,
  familyCpu,
  publishOne,
  raucInstall,
  RUN_MS_MAX,
  runTimed,
  shell,
  swupdateInstall,
} from './updaters.ts';

const LOOK_MS = 5;
/** Mender reads the version before its first update there, and nowhere else. */
const MENDER_INFO = '/etc/mender/artifact_info';

export async function installByRauc(stage: TreeStage): Promise<TreeRun> {
  const packed = { name: 'tree.tar.gz', path: stage.archive, type: 'ext4' } as const;
  const run = await raucInstall(stage, packed);
  await stage.assertInSlot();
  return run;
}

/** The file system is made before: swupdate has a handler for that, which Debian leaves out. */
export async function installBySwupdate(stage: TreeStage): Promise<TreeRun> {
  stage.formatSlot();
  const name = 'tree.tar.gz';
  const entry = (sha256: string): string => `files: ( {
      filename = "${name}"; type = "archive"; device = "${stage.slot}"; filesystem = "ext4";
      path = "/"; installed-directly = true; sha256 = "${sha256}"; } );`;
  const run = await swupdateInstall(stage, { name, path: stage.archive, entry });
  await stage.assertInSlot();
  return run;
}

/** Its module `directory` unpacks into the folder itself; `commit` is the end of a good update. */
export async function installByMender(stage: TreeStage, run: number): Promise<TreeRun> {
  await stage.once('mender', () => prepareMender(stage));
  const home = join(stage.data, `mender-${run}`);
  await mkdir(home);
  await writeFile(join(home, 'device_type'), 'device_type=bench\n');
  const config = join(home, 'mender.conf');
  const key = join(stage.folder, 'mender-public.pem');
  await writeFile(
    config,
    JSON.stringify({ ArtifactVerifyKey: key, DeviceTypeFile: join(home, 'device_type') }),
  );
  const mender = ['mender', '--no-syslog', '--config', config, '--data', home];
  const counted = await stage.counted(async () => {
    const installed = await runTimed(stage, [...mender, 'install', `${stage.url}/bench.mender`]);
    return add(installed, await runTimed(stage, [...mender, 'commit']));
  });
  stage.assertIn(targetOf(stage));
  for (const path of [home, targetOf(stage)]) await rm(path, { recursive: true });
  return counted;
}

const targetOf = ({ data }: TreeStage): string => join(data, 'mender-tree');

async function prepareMender(stage: TreeStage): Promise<void> {
  const folder = join(stage.folder, 'mender');
  await mkdir(folder);
  const [key, open] = [join(stage.folder, 'mender.pem'), join(stage.folder, 'mender-public.pem')];
  shell(folder, `openssl ecparam -genkey -name prime256v1 -noout -out '${key}'`);
  shell(folder, `openssl ec -in '${key}' -pubout -out '${open}' 2> /dev/null`);
  shell(folder, `tar -cf update.tar --owner=0 --group=0 -C '${stage.tree}' .`);
  await writeFile(join(folder, 'dest_dir'), targetOf(stage));
  if (!existsSync(MENDER_INFO)) {
    await writeFile(MENDER_INFO, 'artifact_name=bench-1.0.0\n');
    stage.scope.after(() => rm(MENDER_INFO));
  }
  const out = join(stage.files, 'bench.mender');
  const what = `-n bench-2.0.0 -t bench -T directory -f update.tar -f dest_dir`;
  shell(folder, `mender-artifact write module-image ${what} --key '${key}' -o '${out}'`);
}

/** A new robot in each run. The end is the link `active`: the application would start now. */
export async function installByDrover(stage: TreeStage, run: number): Promise<TreeRun> {
  const { site, url } = await stage.once('drover', () =>
    publishOne(stage, [stage.tree, '--name', 'app']),
  );
  const root = join(stage.data, `robot-${run}`);
  const counted = await stage.counted(async () => {
    const startedAt = performance.now();
    const child = startDrover(stage.scope, 'robot-client', [
      ...['--id', `bench-${run}`, '--root', root, '--broker', url],
      ...['--trust', site.path('trust.json')],
    ]);
    await untilActive(root, child);
    const seconds = (performance.now() - startedAt) / 1000;
    const cpuSeconds = await familyCpu(child.pid);
    const { peakRssMiB } = await readProcessStats(child.pid);
    await child.stop();
    return { seconds, cpuSeconds, peakMiB: peakRssMiB };
  });
  stage.assertIn(join(root, 'active'));
  await rm(root, { recursive: true });
  return counted;
}

/** Looks more often than a test would. */
async function untilActive(root: string, child: Child): Promise<void> {
  const until = performance.now() + RUN_MS_MAX;
  while ((await readlink(join(root, 'active')).catch(() => null)) === null) {
    if (performance.now() > until || child.ended !== null) throw new Error(child.describe());
    await sleep(LOOK_MS);
  }
}
