/**
 * The stage report: decides when the robot sends its state, and with which counters. Transitions
 * are sent at once, progress at intervals, an idle robot by its heartbeat. A report that cannot be
 * sent changes nothing else: the next one contains more.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeMessage, type RobotStateFields } from '../../shared/formats/messages.ts';
import { type Problem, DroverError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Disk } from '../install/disk-port.ts';
import {
  reportRobot,
  type ComponentView,
  type ToldElsewhere,
  type RobotFactsForReport,
} from './report.ts';
import type { Counts } from './usage.ts';
import { UsageBook } from './usage-file.ts';
import type { Announcement } from '../../shared/formats/announcement.ts';
import type { Progress } from '../../shared/formats/progress.ts';

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
  /** The components of other computers of this robot; left out on a robot of one. */
  readonly elsewhere?: ToldElsewhere | undefined;
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
    const { facts, views, elsewhere, now } = this.#options;
    return reportRobot(facts(), views(), { counted: this.#usage, now: now(), elsewhere });
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

export interface Heard {
  readonly announcement: Pick<Announcement, 'rollouts'> | null;
  readonly progress: ReadonlyMap<string, Pick<Progress, 'status'>>;
}

/**
 * Decides whether the fleet waits for the counters of an idle robot. While an announced rollout is
 * not over, its gate compares robots by the hour, including those that take no part in it. When all
 * are over, a rare heartbeat is enough: important events (a crash, a transition) are reported at
 * once anyway. A robot that was just updated stays watched: late robots are judged after a rollout
 * is complete, and hours that arrive late must not make a crash look more frequent.
 */
export function isWatched(
  { announcement, progress }: Heard,
  components: readonly Pick<ComponentView, 'state'>[],
  now: EpochMs,
): boolean {
  // Without a controller's progress nothing is known to be over.
  const isGoingOn = (announcement?.rollouts ?? []).some(({ id }) => {
    const status = progress.get(id)?.status;
    return status !== 'complete' && status !== 'halted';
  });
  if (isGoingOn) return true;
  return components.some(({ state: { phase, lastUpdate } }) => {
    if (phase !== 'idle') return true;
    if (lastUpdate === null) return false;
    // In both directions: a clock that was set back must not end the watch early.
    return Math.abs(now - lastUpdate.endedAtMs) < LIMITS.watchedAfterUpdateMs;
  });
}

const KEYS = ['tasks_completed', 'tasks_failed', 'crashes'] as const;
/** The counters that the application reports. */
type Told = Pick<Counts, (typeof KEYS)[number]>;

/** Totals since the agent's start, and increments from each part of the application. */
export class Telemetry {
  readonly #components: readonly string[];
  readonly #reporter: Pick<Reporter, 'add'>;
  readonly #totals = { tasks_completed: 0, tasks_failed: 0, crashes: 0 };

  constructor(components: readonly string[], reporter: Pick<Reporter, 'add'>) {
    this.#components = components;
    this.#reporter = reporter;
  }

  get totals(): Readonly<Record<(typeof KEYS)[number], number>> {
    return this.#totals;
  }

  /** @throws DroverError NOT_FOUND for a component that this robot does not have */
  add(delta: Told, component: string = this.#main): void {
    if (!this.#components.includes(component)) {
      throw new DroverError('NOT_FOUND', `count for ${component}: no such component here`);
    }
    for (const key of KEYS) this.#totals[key] += delta[key] ?? 0;
    this.#reporter.add(component, delta);
  }

  get #main(): string {
    return this.#components.includes('app') ? 'app' : (this.#components[0] ?? 'app');
  }
}
