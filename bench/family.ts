/** A program and the children it starts, with the peak memory of each: Linux only. */

import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { readProcessStats } from './process-stats.ts';

const LOOK_MS = 10;

export interface FamilyRun {
  readonly seconds: number;
  /** Of the program itself. */
  readonly peakMiB: number;
  /** Of the largest of its children, 0 without any. */
  readonly childPeakMiB: number;
}

/** Looks at a process and its children for as long as somebody asks. */
export class FamilyWatch {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  peakMiB = 0;
  childPeakMiB = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** Children that ended are forgotten, to measure what comes next. */
  forgetChildren(): void {
    this.childPeakMiB = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      this.peakMiB = Math.max(this.peakMiB, await peakOf(this.#pid));
      const children = await readFile(`/proc/${this.#pid}/task/${this.#pid}/children`, 'utf8');
      for (const pid of children.split(' ').filter((one) => one !== '')) {
        this.childPeakMiB = Math.max(this.childPeakMiB, await peakOf(Number(pid)));
      }
    } catch {
      // it has just ended: the last reading stands
    }
  }
}

async function peakOf(pid: number): Promise<number> {
  const { peakRssMiB } = await readProcessStats(pid);
  return Number.isFinite(peakRssMiB) ? peakRssMiB : 0; // one that is on its way out says nothing
}

/** Runs a program to its end. @throws Error when it does not exit 0 */
export async function measureFamily(
  program: string,
  args: readonly string[],
  options: { cwd?: string } = {},
): Promise<FamilyRun> {
  const startedAt = performance.now();
  const child = spawn(program, [...args], { stdio: ['ignore', 'ignore', 'pipe'], ...options });
  const watch = new FamilyWatch(child.pid ?? 0);
  const words: Buffer[] = [];
  child.stderr?.on('data', (piece: Buffer) => words.push(piece));
  const code = await ended(child).finally(() => watch.stop()); // also when it is not installed
  if (code !== 0) throw new Error(`${program} ${args[0]}: exit ${code}: ${Buffer.concat(words)}`);
  const { peakMiB, childPeakMiB } = watch;
  return { seconds: (performance.now() - startedAt) / 1000, peakMiB, childPeakMiB };
}

async function ended(child: ChildProcess): Promise<number | null> {
  return await new Promise((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', reject);
  });
}
