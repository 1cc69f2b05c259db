/**
 * Records one life of a robot on a logged disk, with real agent, broker and bundles. A plain folder
 * is adopted, a version installed, another comes as a delta, and an unhealthy one is rolled back.
 * Each step says which versions may boot while it is under way.
 */

import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';
import { runTool } from '../helpers/block-device.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { isIdle, readActive, readStateFile } from '../kill/boot-check.ts';
import { EVERY_ROBOT, KillSite } from '../kill/kill-site.ts';
import type { AppVersion } from '../kill/versions.ts';
import type { FileSystem } from './file-systems.ts';
import { LoggedDisk } from './logged-disk.ts';
import type { LogEntry } from './write-log.ts';

/** Debian's libeatmydata1, as the dynamic linker finds it. */
export const NO_FSYNC_LIBRARY = 'libeatmydata.so.1';
export const ROBOT_ROOT = 'robot';

const ADOPTED = '0.0.0';
/**
 * Small: of a power cut the order of writes counts, not their number. So many files that one syncfs
 * makes them durable.
 */
const APP = {
  fileCount: LIMITS.syncAllFilesMin + 8,
  fileBytes: 4_000,
  chunkBytes: 32 * 1024,
};
/** The preloaded library takes fsync away from the agent, and not from a program that it runs. */
const FEW_FILES = { ...APP, fileCount: 12, fileBytes: 9_000 };
const STEP_TIMEOUT_MS = 60_000;
/** The journal is committed every second, by itself, when no fsync asks for it. */
const COMMIT_MS = 1_500;
const SETTLE_MS = 500;
const SETTLE_ROUNDS = 20;

export type StepName = 'adoption' | 'install' | 'delta' | 'rollback';

export interface Step {
  readonly name: StepName;
  /** Entries of the log that were written meanwhile. */
  readonly from: number;
  readonly to: number;
  /** Versions that may boot. */
  readonly may: readonly string[];
}

export interface Recording {
  readonly fileSystem: FileSystem;
  readonly logPath: string;
  readonly entries: readonly LogEntry[];
  readonly steps: readonly Step[];
  /** Every tree that was built. */
  readonly known: readonly AppVersion[];
  /** Announced to every robot when the disk was closed: what goes on installs it. */
  readonly next: AppVersion;
  readonly site: KillSite;
}

export async function recordLife(
  scope: Scope,
  fileSystem: FileSystem,
  { isWithoutFsync }: { isWithoutFsync: boolean },
): Promise<Recording> {
  const site = await KillSite.open(scope, isWithoutFsync ? FEW_FILES : APP);
  const disk = await LoggedDisk.open(scope, fileSystem);
  const root = join(disk.folder, ROBOT_ROOT);
  const adopted = await site.placeByHand(join(root, 'active'), ADOPTED);
  runTool('sync', '--file-system', disk.folder);
  const steps: Step[] = [];
  let from = disk.entries().length;
  const endStep = async (name: StepName, ...may: AppVersion[]): Promise<void> => {
    if (isWithoutFsync) await sleep(COMMIT_MS);
    const to = await settledEnd(disk);
    steps.push({ name, from, to, may: may.map(({ version }) => version) });
    from = to;
  };
  const agent = site.startAgent('r1', {
    root,
    env: isWithoutFsync ? { LD_PRELOAD: NO_FSYNC_LIBRARY } : {},
  });
  const life = new Life(site, root, agent);
  await life.adopted();
  await endStep('adoption', adopted);
  const first = await life.update(true);
  await endStep('install', adopted, first);
  const second = await life.update(true, first);
  await endStep('delta', first, second);
  const bad = await life.update(false);
  await endStep('rollback', second, bad);
  await agent.stop();
  const entries = disk.entries().slice();
  await disk.close();
  const next = await site.prepare(true);
  await site.announce(EVERY_ROBOT, next);
  const known = [adopted, first, second, bad, next];
  return { fileSystem, logPath: disk.logPath, entries, steps, known, next, site };
}

/**
 * The end of the log once nothing is added to it. The log ends at the first write under way: on a
 * busy machine that one may hide writes of the step that were answered long ago.
 */
async function settledEnd(disk: LoggedDisk): Promise<number> {
  let end = disk.entries().length;
  for (let rounds = 0; rounds < SETTLE_ROUNDS; rounds += 1) {
    await sleep(SETTLE_MS);
    const before = end;
    end = disk.entries().length;
    if (end === before) break;
  }
  return end;
}

class Life {
  readonly #site: KillSite;
  readonly #root: string;
  readonly #agent: Child;

  constructor(site: KillSite, root: string, agent: Child) {
    this.#site = site;
    this.#root = root;
    this.#agent = agent;
  }

  async adopted(): Promise<void> {
    await this.#until('adopt the folder', async () => {
      if (!(await lstat(join(this.#root, 'active'))).isSymbolicLink()) return false;
      return await isIdle(this.#root);
    });
  }

  async update(isHealthy: boolean, deltaFrom?: AppVersion): Promise<AppVersion> {
    const to = await this.#site.prepare(isHealthy, deltaFrom);
    await this.#site.announce(EVERY_ROBOT, to);
    await this.#until(`end its update to ${to.version}`, async () => {
      if (!(await isIdle(this.#root))) return false;
      if (isHealthy) return (await readActive(this.#root)) === to.version;
      const { blocked } = await readStateFile(this.#root);
      return blocked.some(({ version }) => version === to.version);
    });
    return to;
  }

  async #until(what: string, isDone: () => Promise<boolean>): Promise<void> {
    await waitUntil(`the robot to ${what}`, isDone, {
      timeoutMs: STEP_TIMEOUT_MS,
      look: () => this.#agent.describe(),
    });
  }
}
