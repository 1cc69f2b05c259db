/**
 * Keeps the usage totals of a robot across restarts. A reported total must never fall, or a reader
 * would count the same work again: a report contains what is on the disk, and the file is written
 * before each report with a higher total.
 */

import { randomBytes } from 'node:crypto';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import {
  addCounts,
  beginStint,
  encodeUsage,
  freshUsage,
  parseUsage,
  stintsOf,
  type Counts,
  type Stint,
  type Usage,
} from './usage.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';

/** The active version of a component. */
export interface Running {
  readonly name: string;
  readonly version: string | null;
  /** The rollout that installed it; null when unknown. */
  readonly rollout: string | null;
}

export class UsageBook {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #log: Log;
  #usage: Usage = freshUsage(randomBytes(8).toString('hex'));
  /** As it is on the disk: only this is reported. */
  #saved: Usage = this.#usage;
  readonly #saving = new SerialQueue();
  #countedMs = performance.now();
  /** False while the file may hold totals that were not read yet. */
  #isLoaded = false;

  constructor(disk: Disk, path: string, log: Log) {
    this.#disk = disk;
    this.#path = path;
    this.#log = log;
  }

  /** @returns what was wrong with the file; null when nothing */
  async load(): Promise<Problem | null> {
    const { value, problem } = await readOrSetAside(this.#disk, this.#path, parseUsage);
    if (problem) this.#log.warn({ problem }, 'usage counters were damaged: they start over');
    if (value) this.#usage = value;
    this.#saved = this.#usage;
    this.#isLoaded = true;
    this.#countedMs = performance.now();
    return problem;
  }

  /** Adds the elapsed time to the version that ran; then a new version may begin a stint. */
  observe(running: readonly Running[]): void {
    const nowMs = performance.now();
    const seconds = Math.min((nowMs - this.#countedMs) / 1000, LIMITS.usageGapSMax);
    const isDue = seconds >= LIMITS.usageTickS;
    if (isDue) this.#countedMs = nowMs;
    for (const { name, version, rollout } of running) {
      if (isDue) this.#usage = addCounts(this.#usage, name, { run_s: seconds });
      this.#usage = beginStint(this.#usage, name, { version, rollout });
    }
  }

  add(component: string, counts: Counts): void {
    this.#usage = addCounts(this.#usage, component, counts);
  }

  /**
   * Writes what is new. Counts that could not be written are not reported, and are written with the
   * next.
   */
  save(): Promise<void> {
    return this.#saving.run(async () => {
      const usage = this.#usage;
      if (usage === this.#saved || !this.#isLoaded) return;
      try {
        await writeWhole(this.#disk, this.#path, encodeUsage(usage));
        this.#saved = usage;
      } catch (error) {
        this.#log.warn({ error: String(error) }, 'usage counters could not be saved');
      }
    });
  }

  get epoch(): string {
    return this.#saved.epoch;
  }

  /** Newest first; the totals on the disk. */
  told(component: string): readonly Stint[] {
    return stintsOf(this.#saved, component);
  }
}
