/**
 * A disk that turns full, read-only or dead, or refuses writes, in the middle of an update, on the
 * real ext4. The robot must report the reason with this update or, where this one still ended in
 * the space that it had reserved, with the next.
 */

import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runTool } from '../helpers/block-device.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { withMounted } from '../power/crash-disk.ts';
import { FailingDisk } from '../power/failing-disk.ts';
import { LoggedDisk } from '../power/logged-disk.ts';
import { isIdle } from './boot-check.ts';
import { HardRound } from './hard-round.ts';
import type { KillSite } from './kill-site.ts';
import { whatBoots } from './tree-check.ts';
import type { AppVersion } from './versions.ts';

const ROOT = 'robot';
const TOLD_TIMEOUT_MS = 60_000;
const REMOUNT_MS = 5_000;

export interface SickInput {
  readonly site: KillSite;
  readonly robot: string;
  readonly random: () => number;
}

type SickCase = (scope: Scope, input: SickInput) => Promise<HardRound>;

export const fillDisk: SickCase = (scope, input) =>
  onSickDisk(scope, input, async (disk) => {
    const filler = join(disk.folder, 'filler');
    fill(filler);
    return {
      codes: ['DISK_FULL', 'DISK_SPACE_SHORT'],
      heal: async () => rmSync(filler),
    };
  });

export const remountReadOnly: SickCase = (scope, input) =>
  onSickDisk(scope, input, async (disk) => {
    // Refused while a file is open for writing, which the agent has none of between two steps.
    const until = performance.now() + REMOUNT_MS;
    for (let isReadOnly = false; !isReadOnly && performance.now() < until;) {
      try {
        runTool('mount', '-o', 'remount,ro', disk.folder);
        isReadOnly = true;
      } catch {
        await sleep(5);
      }
    }
    return {
      codes: ['DISK_READ_ONLY'],
      heal: async () => void runTool('mount', '-o', 'remount,rw', disk.folder),
    };
  });

/** Every write fails, while what was written can be read. */
export const refuseWrites: SickCase = async (scope, input) => {
  const disk = await FailingDisk.open(scope);
  return await onDisk(input, disk, async () => {
    await disk.fallSick({ kind: 'writes' });
    return { codes: ['DISK_READ_ONLY', 'DISK_WRITE_FAILED'], heal: () => disk.mend() };
  });
};

interface Sickness {
  /** The robot reports one of them. */
  readonly codes: readonly string[];
  heal(): Promise<void>;
}

async function onSickDisk(
  scope: Scope,
  input: SickInput,
  fallSick: (disk: LoggedDisk) => Promise<Sickness>,
): Promise<HardRound> {
  const disk = await LoggedDisk.open(scope, 'ext4');
  return await onDisk(input, disk, () => fallSick(disk));
}

async function onDisk(
  { site, robot, random }: SickInput,
  disk: { readonly folder: string; close(): Promise<void> },
  fallSick: () => Promise<Sickness>,
): Promise<HardRound> {
  const round = new HardRound(site, robot, { root: join(disk.folder, ROOT), random });
  let agent: Child = await round.installed();
  let to = await round.announce();
  await round.moment(to);
  const sickness = await fallSick();
  let isNext = false;
  await waitUntil(
    `the fleet to hear ${sickness.codes.join(' or ')}`,
    async () => {
      if (agent.ended) throw new Error('the agent ended');
      if (sickness.codes.includes((await site.codeOf(robot)) ?? '')) {
        round.heard = isNext ? 'of the next' : 'of it';
      } else if (!isNext && (await isOver(round, to))) {
        to = await round.announce();
        isNext = true;
      }
      return round.heard;
    },
    { timeoutMs: TOLD_TIMEOUT_MS, look: () => agent.describe() },
  ).catch((error: unknown) => round.violations.push(String(error)));
  await round.killed(agent);
  await round.look('on the sick disk');
  await sickness.heal();
  await round.recover('on the healed disk');
  agent = round.start();
  await round.ends(to, agent);
  await agent.stop();
  await disk.close();
  return round;
}

async function isOver(round: HardRound, to: AppVersion): Promise<boolean> {
  return (await whatBoots(round.root, round.known)).app === to && (await isIdle(round.root));
}

/** To the last block. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let bytes = 2 ** 20; bytes >= 512;) {
      try {
        writeSync(file, Buffer.alloc(bytes, 1));
      } catch {
        bytes /= 2;
      }
    }
  } finally {
    closeSync(file);
  }
}

/** Every read and write fails from one instant on; then the robot boots from what was written. */
export const killDisk: SickCase = async (scope, { site, robot, random }) => {
  const disk = await LoggedDisk.open(scope, 'ext4');
  const root = join(disk.folder, ROOT);
  const round = new HardRound(site, robot, { root, random });
  const agent = await round.installed();
  const to = await round.announce();
  await round.moment(to);
  await disk.die();
  await sleep(round.random() * round.updateMs);
  await round.killed(agent);
  disk.detach();
  await withMounted('ext4', disk.imagePath, disk.folder, async () => {
    await round.look('on what the dead disk has');
    await round.recover('on what the dead disk has');
    const again = round.start();
    await round.ends(to, again);
    await again.stop();
  });
  return round;
};
