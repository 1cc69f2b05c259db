/**
 * Asks for the place that a rollout with a budget wants before a component goes out of service,
 * and waits for the answer in the progress. A place is used once, in time, and for the question
 * that it answers: a robot that became busy meanwhile takes its question back, and the controller
 * gives the place to another robot. Nothing is kept over a restart, after which it asks again.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { formatDurationMs } from '../../shared/base/durations.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import {
  answerTo,
  mayUse,
  placeClockProblem,
  placesLateProblem,
  placesOf,
  placeWait,
  type PlaceTime,
  type PlaceAnswer,
} from '../../shared/rules/budget.ts';
import type { Job } from './state.ts';
import { Changes } from './swap-claims.ts';

export interface PlaceSeatOptions {
  readonly facts: { readonly robot: RobotId; readonly tags: readonly string[] };
  now(): EpochMs;
  /** A fact in the report has changed. */
  onChange(urgent: boolean): void;
  /** A monotonic clock; default `performance.now`. */
  readonly mono?: (() => MonoMs) | undefined;
}

interface Waiting {
  readonly signal: AbortSignal;
  /** Null when nothing is waited for any more. */
  onWaiting(reason: string | null, wakeAtMs: EpochMs | null): void;
}

/** A question, and the place that came in answer to it. */
interface Ask {
  readonly askedAtMs: EpochMs;
  readonly askedMonoMs: MonoMs;
  /** The rollout whose progress answers. */
  readonly owner: string;
  held: (PlaceTime & { readonly untilMonoMs: MonoMs }) | null;
  /** Its place had ended before it came, or was not used in time. */
  late: PlaceTime | null;
}

export class PlaceSeat {
  readonly #options: PlaceSeatOptions;
  readonly #mono: () => MonoMs;
  readonly #changes = new Changes();
  #progress: ReadonlyMap<string, Progress> = new Map();
  #ask: Ask | null = null;
  #lastAskedMs: EpochMs = 0;
  #lateInRow = 0;
  #clock: { readonly problem: Problem; readonly atMs: EpochMs } | null = null;

  constructor(options: PlaceSeatOptions) {
    this.#options = options;
    this.#mono = options.mono ?? (() => performance.now());
  }

  /** Names the question that the report shows; null while nothing is asked. */
  get askedAtMs(): EpochMs | null {
    return this.#ask?.askedAtMs ?? null;
  }

  /** The clock of this robot, with which no place is in time; null when none shows that. */
  get clock(): { readonly problem: Problem; readonly atMs: EpochMs } | null {
    return this.#clock;
  }

  /** Progress of all rollouts, as it was accepted. */
  hear(progress: ReadonlyMap<string, Progress>): void {
    this.#progress = progress;
    this.#look();
    this.#changes.tell();
  }

  /** The component has entered this phase: a question lasts as long as it waits. */
  follow(phase: RobotPhase): void {
    if (phase === 'waiting') return;
    [this.#ask, this.#clock, this.#lateInRow] = [null, null, 0];
  }

  /** It waits for something else first, so another robot may have the place. */
  takeBack(): void {
    if (this.#ask === null) return;
    this.#ask = null;
    this.#options.onChange(true);
  }

  /** True when the component may go out of service now. */
  mayGo({ budget }: Pick<Job, 'budget'>): boolean {
    if (budget === null) return true;
    const held = this.#ask?.held ?? null;
    return held !== null && this.#mayUse(held);
  }

  /**
   * Resolves when a place was granted that may be used. It asks unless it has asked already.
   * @throws the reason of the signal when it is aborted
   */
  async untilGranted({ budget }: Pick<Job, 'budget'>, on: Waiting): Promise<void> {
    if (budget === null) return;
    const reason = placeWait(budget, placesOf(budget, this.#options.facts.tags));
    while (!this.mayGo({ budget })) {
      on.signal.throwIfAborted();
      if (this.#isOver()) await this.#rest(on);
      if (this.#ask === null) this.#askAnew(budget);
      on.onWaiting(reason, null);
      await this.#changeOrLook(on.signal);
    }
    on.onWaiting(null, null);
  }

  /** The place of this question cannot be used any more. */
  #isOver(): boolean {
    if (this.#ask === null) return false;
    const { held, late } = this.#ask;
    return late !== null || (held !== null && !this.#mayUse(held));
  }

  #mayUse(held: NonNullable<Ask['held']>): boolean {
    return mayUse(held, { now: this.#options.now(), mono: this.#mono() });
  }

  /**
   * A place that ends before it comes again and again is one of a robot whose clock is wrong: it
   * asks seldom, so that it holds up no other robot.
   */
  async #rest(on: Waiting): Promise<void> {
    this.#lateInRow = this.#ask?.late ? this.#lateInRow + 1 : 0;
    const problem = this.#clockProblem() ?? placesLateProblem(this.#lateInRow);
    const atMs = this.#clock?.atMs ?? this.#options.now();
    this.#clock = problem && { problem, atMs };
    const why = problem ? '' : this.#whyUnused();
    this.takeBack();
    const wakeAtMs = this.#options.now() + LIMITS.placeAgainMs;
    const late = `another place: the one that it got was over before it was used${why}`;
    on.onWaiting(problem ? `${late} (${problem.code})` : late, wakeAtMs);
    await sleep(LIMITS.placeAgainMs, undefined, { signal: on.signal });
  }

  /** A place that came in time is over while the robot is asked once more whether it is ready. */
  #whyUnused(): string {
    const { held = null, late = null } = this.#ask ?? {};
    if (held === null || late !== null) return '';
    return ` (it was kept for ${formatDurationMs(Math.round(held.leftMs / 1000) * 1000)}: --place-lease of the rollout has to be longer than the robot takes to say that it is ready)`;
  }

  #clockProblem(): Problem | null {
    const lease = this.#ask?.held ?? this.#ask?.late;
    if (!this.#ask || !lease) return null;
    const asked = { now: this.#ask.askedAtMs, mono: this.#ask.askedMonoMs };
    return placeClockProblem(lease, asked, { now: this.#options.now(), mono: this.#mono() });
  }

  #askAnew({ owner }: NonNullable<Job['budget']>): void {
    // Later than every report from before, so that none of them looks like an end of it.
    const askedAtMs = Math.max(this.#options.now(), this.#lastAskedMs) + 1;
    this.#lastAskedMs = askedAtMs;
    this.#ask = { askedAtMs, askedMonoMs: this.#mono(), owner, held: null, late: null };
    this.#options.onChange(true);
  }

  /** A place that is gone from the progress was given to another robot. */
  #look(): void {
    const ask = this.#ask;
    if (ask === null) return;
    const answer = this.#answerTo(ask);
    if (answer.kind === 'late') ask.late ??= answer;
    if (answer.kind !== 'held') return void (ask.held = null);
    this.#lateInRow = -1; // this one came in time, though it may be over before it is used
    const { untilMs, leftMs } = answer;
    const untilMonoMs = this.#mono() + leftMs;
    // The first word counts: what comes again later makes it no longer.
    ask.held = {
      untilMs,
      leftMs: ask.held?.leftMs ?? leftMs,
      untilMonoMs: Math.min(ask.held?.untilMonoMs ?? untilMonoMs, untilMonoMs),
    };
  }

  #answerTo({ askedAtMs, owner }: Ask): PlaceAnswer {
    const { robot } = this.#options.facts;
    return answerTo({ robot, askedAtMs }, this.#progress.get(owner), this.#options.now());
  }

  /** The next change of the progress, or some time later: a place ends without any message. */
  async #changeOrLook(signal: AbortSignal): Promise<void> {
    await this.#changes.next(signal, LIMITS.placeLookMs);
    signal.throwIfAborted();
  }
}
