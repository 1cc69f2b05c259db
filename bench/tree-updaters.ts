/** The four updaters of `bench peers`: each from its start to the moment of its first new start. */

import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBrokerChild } from '../test/e2e/broker-child.ts';
import { Site } from '../test/e2e/site.ts';
import { runTool } from '../test/helpers/block-device.ts';
import { startDrover, type Child } from '../test/helpers/child.ts';
import { startRaucService } from '../test/robot-client/boot/rauc-peer.ts';
import { add, certificate, runTimed } from './image-updaters.ts';
import { familyCpuSeconds, readProcessStats } from './process-stats.ts';
import type { TreeRun, TreeStage } from './tree-stage.ts';

const RUN_MS_MAX = 300_000;
const LOOK_MS = 5;
const VERSION = '2.0.0';
/** Mender reads the version before its first update there, and nowhere else. */
const MENDER_INFO = '/etc/mender/artifact_info';

const shell = (folder: string, script: string): void =>
  void runTool('bash', '-c', `cd '${folder}' && ${script}`);

const familyCpu = async (pid: number): Promise<number> =>
  familyCpuSeconds(await readFile(`/proc/${pid}/stat`, 'utf8'));

export async function installByRauc(stage: TreeStage): Promise<TreeRun> {
  const rauc = await stage.once('rauc', () => prepareRauc(stage));
  const run = await stage.count(async () => {
    const bundle = join(stage.data, 'bench.raucb');
    const url = `${stage.url}/bench.raucb`;
    const fetched = await runTimed(stage, ['curl', '-sSf', '-o', bundle, url]);
    const before = await familyCpu(rauc.pid);
    const client = await runTimed(stage, ['rauc', 'install', bundle]);
    const cpuSeconds = client.cpuSeconds + (await familyCpu(rauc.pid)) - before;
    const { peakRssMiB } = await readProcessStats(rauc.pid);
    await rm(bundle);
    return add(fetched, { ...client, cpuSeconds, peakMiB: Math.max(client.peakMiB, peakRssMiB) });
  });
  await stage.assertInSlot();
  return run;
}

async function prepareRauc(stage: TreeStage): Promise<Child> {
  const { key, cert } = await stage.once('certificate', () => certificate(stage));
  const content = join(stage.folder, 'rauc-bundle');
  await mkdir(content);
  await copyFile(stage.archive, join(content, 'tree.tar.gz'));
  const update = '[update]\ncompatible=Drover test\nversion=1\n\n';
  const image = '[image.rootfs]\nfilename=tree.tar.gz\n';
  await writeFile(join(content, 'manifest.raucm'), `${update}${image}`);
  const out = join(stage.files, 'bench.raucb');
  runTool('rauc', '--cert', cert, '--key', key, 'bundle', content, out);
  const folder = join(stage.folder, 'rauc');
  await mkdir(folder);
  const slot = { device: stage.slot, type: 'ext4', keyring: cert } as const;
  return await startRaucService(stage.scope, folder, slot);
}

/** The file system is made before: swupdate has a handler for that, which Debian leaves out. */
export async function installBySwupdate(stage: TreeStage): Promise<TreeRun> {
  const { cert } = await stage.once('certificate', () => certificate(stage));
  await stage.once('swupdate', () => prepareSwupdate(stage));
  stage.formatSlot();
  const source = ['-d', `-u ${stage.url}/bench.swu`];
  const words = ['swupdate', '-k', cert, '-H', 'bench:1.0', '-M', '-m', ...source];
  const run = await stage.count(() => runTimed(stage, words));
  await stage.assertInSlot();
  return run;
}

async function prepareSwupdate(stage: TreeStage): Promise<void> {
  const { key, cert } = await stage.once('certificate', () => certificate(stage));
  const folder = join(stage.folder, 'swupdate');
  await mkdir(folder);
  await copyFile(stage.archive, join(folder, 'tree.tar.gz'));
  const [hash = ''] = runTool('sha256sum', stage.archive).split(' ');
  await writeFile(
    join(folder, 'sw-description'),
    `software = { version = "1.0"; hardware-compatibility = [ "1.0" ]; files: ( {
      filename = "tree.tar.gz"; type = "archive"; device = "${stage.slot}"; filesystem = "ext4";
      path = "/"; installed-directly = true; sha256 = "${hash}"; } ); }\n`,
  );
  const input = '-sign -in sw-description -out sw-description.sig';
  const form = '-outform DER -nosmimecap -binary';
  shell(folder, `openssl cms ${input} -signer '${cert}' -inkey '${key}' ${form}`);
  const names = 'sw-description sw-description.sig tree.tar.gz';
  shell(folder, `printf '%s\\n' ${names} | cpio -o -H crc > '${join(stage.files, 'bench.swu')}'`);
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
  const counted = await stage.count(async () => {
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
  const what = `-n bench-${VERSION} -t bench -T directory -f update.tar -f dest_dir`;
  shell(folder, `mender-artifact write module-image ${what} --key '${key}' -o '${out}'`);
}

interface DroverStage {
  readonly site: Site;
  readonly url: string;
}

async function prepareDrover(stage: TreeStage): Promise<DroverStage> {
  const site = await Site.open(stage.scope);
  const broker = await startBrokerChild(stage.scope, {
    args: ['--trust', site.path('trust.json')],
  });
  const out = site.path('bundles/tree');
  const what = ['--name', 'app', '--version', VERSION, '--arch', 'any'];
  await site.drover('build', stage.tree, ...what, '--out', out);
  await site.drover('sign', out, '--key', site.path('release.key'));
  await site.tryDrover({}, ...site.publishArgs(broker.url, out, '--id', 'p-1'));
  return { site, url: broker.url };
}

/** A new robot in each run. The end is the link `active`: the application would start now. */
export async function installByDrover(stage: TreeStage, run: number): Promise<TreeRun> {
  const { site, url } = await stage.once('drover', () => prepareDrover(stage));
  const root = join(stage.data, `robot-${run}`);
  const counted = await stage.count(async () => {
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
