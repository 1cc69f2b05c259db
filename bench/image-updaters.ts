/** The three updaters of `bench image`: each from its start to the moment of its reboot. */

import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startBrokerChild } from '../test/e2e/broker-child.ts';
import { Site } from '../test/e2e/site.ts';
import { runTool } from '../test/helpers/block-device.ts';
import { startChild, startDrover, type Child } from '../test/helpers/child.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { waitUntil } from '../test/helpers/wait-until.ts';
import { A, makeOwn } from '../test/robot-client/boot/boot-loaders.ts';
import { startRaucService } from '../test/robot-client/boot/rauc-peer.ts';
import { FamilyWatch } from './family.ts';
import { familyCpuSeconds, readProcessStats } from './process-stats.ts';
import type { ImageRun, ImageStage, UpdaterRun } from './image-stage.ts';

const RUN_MS_MAX = 300_000;

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export async function certificate({ folder }: { readonly folder: string }): Promise<Certificate> {
  const [key, cert] = [join(folder, 'bench-key.pem'), join(folder, 'bench-cert.pem')];
  const made = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=bench'];
  const usage = ['-addext', 'extendedKeyUsage=emailProtection,codeSigning'];
  runTool('openssl', 'req', ...made, ...usage, '-keyout', key, '-out', cert);
  return { key, cert };
}

/** Runs a program to its end: its time, the CPU time of it and its children, its largest process. */
export async function runTimed(
  stage: { readonly scope: Scope },
  words: readonly string[],
): Promise<UpdaterRun> {
  const startedAt = performance.now();
  const script = '"$@" >&2; code=$?; times; exit $code';
  const child = startChild(stage.scope, 'bash', ['-c', script, 'bash', ...words]);
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

export async function runRauc(stage: ImageStage): Promise<ImageRun> {
  const rauc = await stage.once('rauc', () => prepareRauc(stage));
  return await stage.count(async () => {
    const bundle = join(stage.data, 'bench.raucb');
    const fetched = await runTimed(stage, [
      'curl',
      '-sSf',
      '-o',
      bundle,
      `${stage.url}/bench.raucb`,
    ]);
    const before = await readProcessStats(rauc.pid);
    const client = await runTimed(stage, ['rauc', 'install', bundle]);
    const { cpuSeconds, peakRssMiB } = await readProcessStats(rauc.pid);
    const used = { ...client, cpuSeconds: client.cpuSeconds + cpuSeconds - before.cpuSeconds };
    await rm(bundle);
    return add(fetched, { ...used, peakMiB: Math.max(client.peakMiB, peakRssMiB) });
  });
}

async function prepareRauc(stage: ImageStage): Promise<Child> {
  const { key, cert } = await stage.once('certificate', () => certificate(stage));
  const content = join(stage.folder, 'rauc-bundle');
  await mkdir(content);
  await copyFile(stage.image, join(content, 'rootfs.img'));
  const manifest = '[update]\ncompatible=Drover test\nversion=1\n\n';
  await writeFile(
    join(content, 'manifest.raucm'),
    `${manifest}[image.rootfs]\nfilename=rootfs.img\n`,
  );
  const out = join(stage.files, 'bench.raucb');
  runTool('rauc', '--cert', cert, '--key', key, 'bundle', content, out);
  const folder = join(stage.folder, 'rauc');
  await mkdir(folder);
  return await startRaucService(stage.scope, folder, { device: stage.slot, keyring: cert });
}

export async function runSwupdate(stage: ImageStage): Promise<ImageRun> {
  const { cert } = await stage.once('certificate', () => certificate(stage));
  await stage.once('swupdate', () => prepareSwupdate(stage));
  const source = ['-d', `-u ${stage.url}/bench.swu`];
  const words = ['swupdate', '-k', cert, '-H', 'bench:1.0', '-M', '-m', ...source];
  return await stage.count(() => runTimed(stage, words));
}

async function prepareSwupdate(stage: ImageStage): Promise<void> {
  const { key, cert } = await stage.once('certificate', () => certificate(stage));
  const folder = join(stage.folder, 'swupdate');
  await mkdir(folder);
  const sh = (script: string): void => void runTool('bash', '-c', `cd '${folder}' && ${script}`);
  sh(`gzip -6 -c '${stage.image}' > rootfs.img.gz`);
  const [hash = ''] = runTool('sha256sum', join(folder, 'rootfs.img.gz')).split(' ');
  await writeFile(
    join(folder, 'sw-description'),
    `software = { version = "1.0"; hardware-compatibility = [ "1.0" ]; images: ( {
      filename = "rootfs.img.gz"; device = "${stage.slot}"; compressed = "zlib";
      installed-directly = true; sha256 = "${hash}"; } ); }\n`,
  );
  const signed = '-outform DER -nosmimecap -binary';
  sh(
    `openssl cms -sign -in sw-description -out sw-description.sig -signer '${cert}' -inkey '${key}' ${signed}`,
  );
  const names = 'sw-description sw-description.sig rootfs.img.gz';
  sh(`printf '%s\\n' ${names} | cpio -o -H crc > '${join(stage.files, 'bench.swu')}'`);
}

interface DroverStage {
  readonly site: Site;
  readonly url: string;
}

async function prepareDrover(stage: ImageStage): Promise<DroverStage> {
  const site = await Site.open(stage.scope);
  const broker = await startBrokerChild(stage.scope, {
    args: ['--trust', site.path('trust.json')],
  });
  const out = site.path('bundles/image');
  const what = ['--version', '2.0.0', '--arch', 'any', '--compatible', 'bench'];
  await site.drover('build', '--image', stage.image, ...what, '--out', out);
  await site.drover('sign', out, '--key', site.path('release.key'));
  await site.tryDrover({}, ...site.publishArgs(broker.url, out, '--id', 's-1'));
  return { site, url: broker.url };
}

/** A new robot in each run: none has seen the image. Its reboot command notes what the agent used. */
export async function runDrover(stage: ImageStage, run: number): Promise<ImageRun> {
  const { site, url } = await stage.once('drover', () => prepareDrover(stage));
  const home = join(stage.data, `robot-${run}`);
  const boot = join(home, 'boot.d');
  await mkdir(boot, { recursive: true });
  await (await makeOwn(boot)).open(A);
  await writeFile(join(home, 'slot-a'), '');
  const reboot = join(home, 'reboot');
  const note = `cat /proc/$PPID/stat > '${home}/stat'; cat /proc/$PPID/status > '${home}/status'`;
  await writeFile(reboot, `#!/bin/sh\n${note}\nkill -9 $PPID\n`);
  await chmod(reboot, 0o755);
  const counted = await stage.count(async () => {
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
