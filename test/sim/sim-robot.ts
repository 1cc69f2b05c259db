/**
 * A robot of the simulation: the decisions of a real one about a rollout, an application that works
 * and crashes at a rate of its version, and a link that loses things. Its reports are of the real
 * form.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import type { ReportedUpdate, RobotState, UsageReport } from '../../shared/formats/messages.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import { cohortFraction, decideTurn, type TurnRules } from '../../shared/rules/rollout-rules.ts';
import type { Random } from './random.ts';
import type { SimPlace } from './sim-place.ts';

export interface VersionTraits {
  /** Chance that an update to it fails on a robot. */
  readonly applyFailure: number;
  /** Chance that one task ends in a crash. */
  readonly crashPerTask: number;
}

export interface SimRollout {
  readonly id: string;
  readonly version: string;
  readonly rules: TurnRules;
}

const OLD = '1.0.0';
const TASKS_PER_STEP = 3;

export class SimRobot {
  readonly id: RobotId;
  readonly #random: Random;
  readonly #fraction: (salt: string) => number;
  version = OLD;
  isOnline = true;
  /** It lost its power in the middle of an update and never comes back. */
  isDead = false;
  heard: Progress | null = null;
  /** Of a rollout with a budget. */
  place: SimPlace | null = null;
  blocked: string[] = [];
  #stints: UsageReport[] = [{ ...PAST }];
  #last: ReportedUpdate | null = null;
  #completeSinceMs: number | undefined;
  #updating: { rollout: SimRollout; stepsLeft: number; sinceMs: number } | null = null;
  /** The progress at the start of each take: for the judge. */
  readonly took: { threshold: number; status: string }[] = [];

  constructor(id: string, random: Random) {
    this.id = id as RobotId;
    this.#random = random;
    const known = new Map<string, number>();
    this.#fraction = (salt) => {
      const found = known.get(salt) ?? cohortFraction(salt, this.id);
      known.set(salt, found);
      return found;
    };
  }

  get isUpdating(): boolean {
    return this.#updating !== null;
  }

  /** One step of `stepMs`: decide, go on with an update, work. */
  step(rollout: SimRollout, traits: VersionTraits, clock: { nowMs: number; stepMs: number }): void {
    if (this.isDead) return;
    this.#obey(rollout, clock.nowMs);
    this.#goOn(traits, clock.nowMs);
    this.#work(traits, rollout, clock.stepMs);
  }

  fraction(salt: string): number {
    return this.#fraction(salt);
  }

  #obey(rollout: SimRollout, nowMs: number): void {
    const progress = this.heard;
    if (!progress || nowMs >= progress.expires_at) return;
    const hasIt = this.version === rollout.version;
    if (progress.recall && (hasIt || this.#updating)) return this.#goBack(rollout, nowMs);
    if (progress.status === 'complete') this.#completeSinceMs ??= nowMs;
    const turn = decideTurn(rollout.rules, {
      robot: this.id,
      tags: [],
      progress,
      completeSinceMs: this.#completeSinceMs,
      hasJoined: this.#updating !== null,
      isAnswered: true,
      now: nowMs,
    });
    // A robot that is out of service goes on to an end.
    if (turn?.problem.code === 'ROLLOUT_STOPPED' && this.place?.isOut !== true) this.#stop();
    if (turn || hasIt || this.#updating || this.blocked.includes(rollout.version)) return;
    this.took.push({ threshold: progress.threshold, status: progress.status });
    this.#updating = { rollout, stepsLeft: this.#random.between(1, 4), sinceMs: nowMs };
  }

  #stop(): void {
    this.#updating = null;
    this.place?.end();
  }

  #goOn(traits: VersionTraits, nowMs: number): void {
    const job = this.#updating;
    if (!job) return;
    // A download needs the link; what is staged does not.
    if (job.stepsLeft > 1 && !this.isOnline) return;
    job.stepsLeft -= 1;
    if (job.stepsLeft > 0) return;
    if (this.place?.step(this.heard, nowMs) === false) return void (job.stepsLeft = 1);
    this.#stop();
    const isGood = !this.#random.chance(traits.applyFailure);
    const { rollout, sinceMs } = job;
    if (isGood) this.#begin(rollout.version, rollout.id);
    else this.blocked.push(rollout.version);
    this.#end(rollout, isGood ? 'installed' : 'rolled_back', { sinceMs, nowMs });
  }

  #goBack(rollout: SimRollout, nowMs: number): void {
    const hadIt = this.version === rollout.version;
    this.#stop();
    if (!hadIt) return;
    this.#begin(OLD, null);
    this.blocked.push(rollout.version);
    this.#end(rollout, 'recalled', { sinceMs: nowMs, nowMs });
  }

  #begin(version: string, rollout: string | null): void {
    this.version = version;
    const stint = (this.#stints[0]?.stint ?? 0) + 1;
    this.#stints = [makeStint(stint, version, rollout), ...this.#stints].slice(0, 4);
  }

  #end(
    rollout: SimRollout,
    outcome: 'installed' | 'rolled_back' | 'recalled',
    when: { sinceMs: number; nowMs: number },
  ): void {
    this.#last = {
      rollout: rollout.id,
      version: rollout.version,
      outcome,
      code: outcome === 'rolled_back' ? 'HEALTH_FAILED' : null,
      started_at: when.sinceMs,
      ended_at: when.nowMs,
      took_s: 1,
      bytes: 1,
    };
  }

  #work(traits: VersionTraits, rollout: SimRollout, stepMs: number): void {
    const stint = this.#stints[0];
    if (!stint) return;
    stint.run_s += stepMs / 1000;
    const isNew = this.version === rollout.version;
    const crash = isNew ? traits.crashPerTask : BASE_CRASH;
    for (let task = 0; task < TASKS_PER_STEP; task += 1) {
      const crashed = this.#random.chance(crash);
      stint.crashes += crashed ? 1 : 0;
      stint.tasks_failed += crashed ? 1 : 0;
      stint.tasks_completed += crashed ? 0 : 1;
    }
  }

  #phase(): 'idle' | 'downloading' | 'waiting' | 'swapping' {
    if (!this.#updating) return 'idle';
    if (this.place?.isOut === true) return 'swapping';
    return this.place?.askedAtMs ? 'waiting' : 'downloading';
  }

  /** As the broker has parsed it. */
  report(nowMs: number): RobotState {
    const job = this.#updating;
    const component = {
      name: 'app',
      version: this.version,
      phase: this.#phase(),
      ...(this.place?.askedAtMs && { place_asked_at: this.place.askedAtMs }),
      rollout: job?.rollout.id ?? null,
      target_version: job?.rollout.version ?? null,
      blocked: [...this.blocked],
      last_update: this.#last,
      usage: this.#stints.map((one) => ({ ...one })),
    };
    return {
      robot_id: this.id,
      at: nowMs,
      agent: '',
      arch: 'x86_64',
      model: '',
      tags: [...(this.place?.tags ?? [])],
      caps: [],
      metrics: {},
      counter_epoch: 'e1',
      instance: '',
      link_endings: 0,
      components: [component],
    };
  }
}

function makeStint(stint: number, version: string, rollout: string | null): UsageReport {
  const counts = { tasks_completed: 0, tasks_failed: 0, crashes: 0, restarts: 0 };
  return { stint, version, rollout, run_s: 0, ...counts, health_failures: 0 };
}

/** Twenty hours on the old version before the simulation begins. */
const PAST: UsageReport = {
  ...makeStint(1, OLD, null),
  run_s: 72_000,
  tasks_completed: 21_492,
  tasks_failed: 108,
  crashes: 108,
};

/** Chance that a task of the old version ends in a crash. */
export const BASE_CRASH = 0.005;
