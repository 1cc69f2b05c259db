/** The parts that the updaters of `bench image` and `bench peers` have in common. */

import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startBrokerChild } from '../test/e2e/broker-child.ts';
import { Site } from '../test/e2e/site.ts';
import { runTool } from '../test/helpers/block-device.ts';
import { startChild, type Child } from '../test/helpers/child.ts';
import { waitUntil } from '../test/helpers/wait-until.ts';
import { startRaucService } from '../test/robot-client/boot/rauc-peer.ts';
import { FamilyWatch } from './family.ts';
import { familyCpuSeconds, readProcessStats } from './process-stats.ts';
import type { Counted, UpdaterRun, UpdateStage } from './update-stage.ts';

export const RUN_MS_MAX = 300_000;

/** A file that a peer packs: its name in the bundle, and where it is. */
interface Packed {
  readonly name: string;
  readonly path: string;
}

async function certificate({ folder, once }: UpdateStage) {
  return await once('certificate', () => {
    const [key, cert] = [join(folder, 'bench-key.pem'), join(folder, 'bench-cert.pem')];
    const made = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=bench'];
    const usage = ['-addext', 'extendedKeyUsage=emailProtection,codeSigning'];
    runTool('openssl', 'req', ...made, ...usage, '-keyout', key, '-out', cert);
    return Promise.resolve({ key, cert });
  });
}

export const shell = (folder: string, script: string): void =>
  void runTool('bash', '-c', `cd '${folder}' && ${script}`);

/** Runs a program to its end: its time, the CPU time of it and its children, its largest process. */
export async function runTimed(
  { scope }: Pick<UpdateStage, 'scope'>,
  words: readonly string[],
): Promise<UpdaterRun> {
  const startedAt = performance.now();
  const script = '"$@" >&2; code=$?; times; exit $code';
  const child = startChild(scope, 'bash', ['-c', script, 'bash', ...words]);
  const watches = await watchTree(child);
  const { code } = await child.exit;
  const seconds = (performance.now() - startedAt) / 1000;
  watches.stop();
  if (code !== 0) throw new Error(child.describe());
  return { seconds, cpuSeconds: cpuOf(child.stdout), peakMiB: watches.peakMiB };
}

/** A shell's second line of `times`: user and system time of its children, `0m1.234s 0m0.056s`. */
function cpuOf(times: string): number {
  const [, children = ''] = times.trim().split('\n').slice(-2);
  return children.split(' ').reduce((sum, one) => {
    const [, minutes = 0, seconds = 0] = /(\d+)m([\d.]+)s/.exec(one) ?? [];
    return sum + Number(minutes) * 60 + Number(seconds);
  }, 0);
}

/** Watches the program that a shell runs, and the children of that. */
async function watchTree(shell: Child): Promise<{ readonly peakMiB: number; stop(): void }> {
  let child = 0;
  const look = async (): Promise<boolean> => {
    if (shell.ended !== null) return true;
    const text = await readFile(`/proc/${shell.pid}/task/${shell.pid}/children`, 'utf8');
    child = Number(text.split(' ')[0]);
    return child > 0;
  };
  await waitUntil('the program', look);
  const watch = new FamilyWatch(child);
  return {
    get peakMiB() {
      return Math.max(watch.peakMiB, watch.childPeakMiB);
    },
    stop: () => watch.stop(),
  };
}

export const add = (a: UpdaterRun, b: UpdaterRun): UpdaterRun => ({
  seconds: a.seconds + b.seconds,
  cpuSeconds: a.cpuSeconds + b.cpuSeconds,
  peakMiB: Math.max(a.peakMiB, b.peakMiB),
});

/** Seconds of CPU of a process and of its children that have ended. */
export const familyCpu = async (pid: number): Promise<number> =>
  familyCpuSeconds(await readFile(`/proc/${pid}/stat`, 'utf8'));

/** @param type how RAUC writes slot B: an image as it is, or files into a file system */
export async function raucInstall(
  stage: UpdateStage,
  packed: Packed & { readonly type: 'raw' | 'ext4' },
): Promise<UpdaterRun & Counted> {
  const rauc = await stage.once('rauc', () => prepareRauc(stage, packed));
  return await stage.counted(async () => {
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
}

async function prepareRauc(
  stage: UpdateStage,
  { name, path, type }: Packed & { readonly type: 'raw' | 'ext4' },
): Promise<Child> {
  const { key, cert } = await certificate(stage);
  const content = join(stage.folder, 'rauc-bundle');
  await mkdir(content);
  await copyFile(path, join(content, name));
  const update = '[update]\ncompatible=Drover test\nversion=1\n\n';
  const image = `[image.rootfs]\nfilename=${name}\n`;
  await writeFile(join(content, 'manifest.raucm'), `${update}${image}`);
  const out = join(stage.files, 'bench.raucb');
  runTool('rauc', '--cert', cert, '--key', key, 'bundle', content, out);
  const folder = join(stage.folder, 'rauc');
  await mkdir(folder);
  return await startRaucService(stage.scope, folder, { device: stage.slot, type, keyring: cert });
}

/** @param entry the part of sw-description about a file of this name and hash */
export async function swupdateInstall(
  stage: UpdateStage,
  packed: Packed & { readonly entry: (sha256: string) => string },
): Promise<UpdaterRun & Counted> {
  const { cert } = await certificate(stage);
  await stage.once('swupdate', () => prepareSwupdate(stage, packed));
  const source = ['-d', `-u ${stage.url}/bench.swu`];
  const words = ['swupdate', '-k', cert, '-H', 'bench:1.0', '-M', '-m', ...source];
  return await stage.counted(() => runTimed(stage, words));
}

async function prepareSwupdate(
  stage: UpdateStage,
  { name, path, entry }: Packed & { readonly entry: (sha256: string) => string },
): Promise<void> {
  const { key, cert } = await certificate(stage);
  const folder = join(stage.folder, 'swupdate');
  await mkdir(folder);
  await copyFile(path, join(folder, name));
  const [hash = ''] = runTool('sha256sum', path).split(' ');
  const made = 'version = "1.0"; hardware-compatibility = [ "1.0" ];';
  await writeFile(join(folder, 'sw-description'), `software = { ${made} ${entry(hash)} }\n`);
  const input = '-sign -in sw-description -out sw-description.sig';
  const form = '-outform DER -nosmimecap -binary';
  shell(folder, `openssl cms ${input} -signer '${cert}' -inkey '${key}' ${form}`);
  const names = `sw-description sw-description.sig ${name}`;
  shell(folder, `printf '%s\\n' ${names} | cpio -o -H crc > '${join(stage.files, 'bench.swu')}'`);
}

export interface Published {
  readonly site: Site;
  readonly url: string;
}

/** A broker that has announced one bundle. @param words of `drover build`, without --out */
export async function publishOne(stage: UpdateStage, words: readonly string[]): Promise<Published> {
  const site = await Site.open(stage.scope);
  const broker = await startBrokerChild(stage.scope, {
    args: ['--trust', site.path('trust.json')],
  });
  const out = site.path('bundles/bench');
  await site.drover('build', ...words, '--version', '2.0.0', '--arch', 'any', '--out', out);
  await site.drover('sign', out, '--key', site.path('release.key'));
  await site.tryDrover({}, ...site.publishArgs(broker.url, out, '--id', 'bench-1'));
  return { site, url: broker.url };
}
