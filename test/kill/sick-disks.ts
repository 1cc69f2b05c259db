/** A disk that turns full, read-only or dead in the middle of an update, on the real ext4. */

import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runTool } from '../helpers/block-device.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { withMounted } from '../power/crash-disk.ts';
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
  onSickDisk(scope, input, async (round, disk, to) => {
    const filler = join(disk.folder, 'filler');
    fill(filler);
    return {
      codes: ['DISK_FULL', 'DISK_SPACE_SHORT'],
      heal: async () => rmSync(filler),
      isOver: () => isOver(round, to),
    };
  });

export const remountReadOnly: SickCase = (scope, input) =>
  onSickDisk(scope, input, async (round, disk, to) => {
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
      isOver: () => isOver(round, to),
    };
  });

interface Sickness {
  /** One of them is told to the fleet, unless the update was over before. */
  readonly codes: readonly string[];
  heal(): Promise<void>;
  isOver(): Promise<boolean>;
}

async function onSickDisk(
  scope: Scope,
  { site, robot, random }: SickInput,
  fallSick: (round: HardRound, disk: LoggedDisk, to: AppVersion) => Promise<Sickness>,
): Promise<HardRound> {
  const disk = await LoggedDisk.open(scope, 'ext4');
  const round = new HardRound(site, robot, { root: join(disk.folder, ROOT), random });
  let agent: Child = await round.installed();
  const to = await round.announce();
  await round.moment(to);
  const sickness = await fallSick(round, disk, to);
  await waitUntil(
    `the fleet to hear ${sickness.codes.join(' or ')}`,
    async () => {
      if (agent.ended) throw new Error('the agent ended');
      if (sickness.codes.includes((await site.codeOf(robot)) ?? '')) round.heard = 'reason';
      else if (await sickness.isOver()) round.heard = 'too late';
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
