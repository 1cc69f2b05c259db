/**
 * The stage report: decides when the robot sends its state, and with which counters. Transitions
 * are sent at once, progress at intervals, an idle robot by its heartbeat. A report that cannot be
 * sent changes nothing else: the next one contains more.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeMessage, type RobotStateFields } from '../../shared/formats/messages.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Disk } from '../install/disk-port.ts';
import { reportRobot, type ComponentView, type RobotFactsForReport } from './report.ts';
import type { Counts } from './usage.ts';
import { UsageBook } from './usage-file.ts';

/** Beats within one heartbeat: at each one it is checked whether a report is due. */
const HEARTBEAT_PIECES = 6;

export interface ReporterOptions {
  readonly disk: Disk;
  readonly usagePath: string;
  readonly log: Log;
  readonly heartbeatMs: number;
  readonly intervalMs: number;
  now(): EpochMs;
  facts(): RobotFactsForReport;
  views(): readonly ComponentView[];
  /** False while there is no link: a new link requests a report by itself. */
  canSend(): boolean;
  /** Called once in a heartbeat, for checks that no message triggers. */
  onHeartbeat(): void;
  /** False while no rollout waits for the counters of an idle robot. */
  isWatched(): boolean;
  send(state: Uint8Array): Promise<void>;
}

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #usage: UsageBook;
  #timer: NodeJS.Timeout | null = null;
  #heartbeat: NodeJS.Timeout | null = null;
  /** On the monotonic clock. */
  #lastAtMs = -Infinity;
  #beats = 0;
  #closed = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#usage = new UsageBook(options.disk, options.usagePath, options.log);
  }

  /** Reads the counters from before this start. @returns what was wrong with the file */
  async load(): Promise<Problem | null> {
    return await this.#usage.load();
  }

  start(): void {
    this.#count();
    this.#heartbeat = setInterval(() => this.#beat(), this.#options.heartbeatMs / HEARTBEAT_PIECES);
  }

  /** Saves the counters; reports nothing any more. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#heartbeat) clearInterval(this.#heartbeat);
    this.#count();
    await this.#usage.save();
  }

  add(component: string, counts: Counts): void {
    this.#count();
    // A health check that found nothing is no news: each would cost a report of its own.
    if (Object.values(counts).every((count) => count === 0)) return;
    this.#usage.add(component, counts);
    this.soon(false);
  }

  /** Transitions at once, everything else at most every `intervalMs`. */
  soon(isUrgent: boolean): void {
    if (this.#closed || (this.#timer && !isUrgent)) return;
    if (this.#timer) clearTimeout(this.#timer);
    const sinceMs = performance.now() - this.#lastAtMs;
    const waitMs = isUrgent ? 0 : Math.max(0, this.#options.intervalMs - sinceMs);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (!this.#options.canSend()) return;
      this.#lastAtMs = performance.now();
      inBackground(this.#options.log, 'report', this.#tell());
    }, waitMs);
  }

  state(): RobotStateFields {
    const { facts, views, now } = this.#options;
    return reportRobot(facts(), views(), { counted: this.#usage, now: now() });
  }

  /** Counters go to the disk first: a reported total must not fall after a power cut. */
  async #tell(): Promise<void> {
    this.#count();
    await this.#usage.save();
    try {
      await this.#options.send(encodeMessage(this.state()));
    } catch (error) {
      this.#options.log.debug({ error: String(error) }, 'report not sent');
    }
  }

  /** Run time up to now, and a stint for a version that has just become active. */
  #count(): void {
    this.#usage.observe(
      this.#options.views().map(({ name, version, state }) => {
        const job = state.installed?.version === version ? state.installed : state.job;
        return { name, version, rollout: job?.version === version ? job.rollout : null };
      }),
    );
  }

  #beat(): void {
    this.#count();
    this.#beats = (this.#beats + 1) % HEARTBEAT_PIECES;
    if (this.#beats === 0) this.#options.onHeartbeat();
    const { heartbeatMs, isWatched } = this.#options;
    const dueMs = heartbeatMs * (isWatched() ? 1 : LIMITS.quietHeartbeats);
    const sinceMs = performance.now() - this.#lastAtMs;
    // Half a beat early is in time: a timer's jitter must not choose between two beats.
    if (sinceMs >= dueMs - heartbeatMs / HEARTBEAT_PIECES / 2) this.soon(false);
  }
}
