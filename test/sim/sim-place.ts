/**
 * The budget of a simulated rollout: one world in seven has one. A robot asks for its place by the
 * rules of a real one, and the judge checks how many robots are out of service at once. It has a
 * stream of numbers of its own, so that the worlds without a budget stay as they were.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import { budgetSchema } from '../../shared/formats/announcement.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import { answerTo, mayUse, placesOf, type Budget } from '../../shared/rules/budget.ts';
import { Random } from './random.ts';

const HALLS = ['hall=A', 'hall=B', 'hall=C'];

/** The place of one robot. */
export class SimPlace {
  readonly tags: readonly string[];
  readonly #robot: RobotId;
  readonly #random: Random;
  #lastAskedMs = 0;
  #stepsOut = 0;
  #held: { untilMs: number; untilMonoMs: number } | null = null;
  askedAtMs: number | null = null;

  constructor(robot: RobotId, random: Random) {
    this.#robot = robot;
    this.#random = random;
    this.tags = [random.pick(HALLS)];
  }

  get isOut(): boolean {
    return this.#stepsOut > 0;
  }

  /** The update is over, or was given up. */
  end(): void {
    [this.askedAtMs, this.#held, this.#stepsOut] = [null, null, 0];
  }

  /** One step of a robot that has staged its release. @returns true when the update has ended */
  step(heard: Progress | null, nowMs: number): boolean {
    if (this.isOut) {
      this.#stepsOut -= 1;
      return !this.isOut;
    }
    const { askedAtMs } = this;
    if (askedAtMs === null) {
      this.askedAtMs = Math.max(nowMs, this.#lastAskedMs) + 1;
      this.#lastAskedMs = this.askedAtMs;
      return false;
    }
    const answer = answerTo({ robot: this.#robot, askedAtMs }, heard ?? undefined, nowMs);
    if (answer.kind === 'late') this.end();
    if (answer.kind !== 'held') {
      this.#held = null;
      return false;
    }
    this.#held ??= { untilMs: answer.untilMs, untilMonoMs: nowMs + answer.leftMs };
    if (this.#random.chance(0.3)) return false; // it is slow
    const isBusy = this.#random.chance(0.1);
    const mayGo = !isBusy && mayUse(this.#held, { now: nowMs, mono: nowMs });
    this.end();
    if (mayGo) this.#stepsOut = this.#random.between(1, 4);
    return false;
  }
}

/** State of a robot on the floor, as far as the budget is concerned. */
interface Seen {
  readonly id: RobotId;
  readonly isOnline: boolean;
  readonly place: SimPlace | null;
}

export class SimBudget {
  readonly budget: Budget | null;
  readonly #random: Random;
  readonly #lastOnMs = new Map<RobotId, number>();
  /** Were away for longer than a lease in the middle: counted apart until their end. */
  readonly #apart = new Set<RobotId>();

  constructor(seed: number) {
    const random = new Random(seed + 0x5eed);
    this.#random = random;
    const [at_most, per] = [random.between(1, 2), random.pick(['fleet', 'tag:hall'])];
    this.budget = random.chance(0.15) ? budgetSchema.parse({ at_most, per, lease_s: 240 }) : null;
  }

  placeOf(robot: RobotId): SimPlace | null {
    return this.budget && new SimPlace(robot, this.#random);
  }

  /** Robots of one place that are out of service at once, and more than the budget; else null. */
  judge(robots: readonly Seen[], nowMs: number): string | null {
    const { budget } = this;
    if (!budget) return null;
    const out: Seen[] = [];
    for (const one of robots) {
      if (one.isOnline) this.#lastOnMs.set(one.id, nowMs);
      if (one.place?.isOut !== true) {
        this.#apart.delete(one.id);
        continue;
      }
      const awayMs = nowMs - (this.#lastOnMs.get(one.id) ?? 0);
      if (awayMs >= budget.lease_s * 1000) this.#apart.add(one.id);
      if (!this.#apart.has(one.id)) out.push(one);
    }
    for (const name of new Set(out.flatMap(({ place }) => placesOf(budget, place?.tags ?? [])))) {
      const here = out.filter(({ place }) => placesOf(budget, place?.tags ?? []).includes(name));
      if (here.length <= budget.at_most) continue;
      const ids = here.map(({ id }) => id).join(', ');
      return `at most ${budget.at_most} robots of one place are out of service (${name}: ${ids})`;
    }
    return null;
  }
}
