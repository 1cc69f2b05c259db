/**
 * Simulates a fleet in virtual time under the real gate: waves of 1, 10, 50 and 100 percent, a pass
 * every minute, and crashes and tasks drawn for each robot from a seeded generator. Only the robots
 * are simulated; evidence and verdicts come from broker/rollout. One seed always gives one rollout.
 */

import { addIncrements, emptyEvidence, emptyGroup } from '../../broker/rollout/evidence.ts';
import type { Increment, GateVerdict } from '../../broker/rollout/gate-types.ts';
import { judge } from '../../broker/rollout/gate.ts';
import { gatesSchema, type GatesFields } from '../../shared/formats/gates.ts';

export interface World {
  readonly robots: number;
  /** Crashes per robot-hour of the old version, on average over robots. */
  readonly crashesPerHour: number;
  /** The new version's crash rate is so many times the old one's. */
  readonly crashRatio: number;
  /** Coefficient of variation of the crash rate between robots; 0: all alike. */
  readonly spread: number;
  readonly tasksPerHour: number;
  readonly taskFailure: number;
  /** Share of tasks in which the new version crashes and fails, on top of the rest. */
  readonly crashPerTask: number;
  readonly soakS: number;
  readonly gates: GatesFields;
  /** Only the canary wave is played when 1. */
  readonly waves: readonly number[];
}

export const WORLD: World = {
  robots: 1_000,
  crashesPerHour: 1,
  crashRatio: 1,
  spread: 0,
  tasksPerHour: 6,
  taskFailure: 0.02,
  crashPerTask: 0,
  soakS: 3_600,
  gates: {},
  waves: [1, 10, 50, 100],
};

export interface Outcome {
  readonly end: 'passed' | 'halted';
  /** Wave in which it ended, from 0. */
  readonly wave: number;
  readonly hours: number;
  /** Robots that had the new version at the end. */
  readonly exposed: number;
  readonly verdict: GateVerdict;
}

const LOOK_S = 60;
/** The late group is a stage too. */
const STAGES = WORLD.waves.length + 1;
/** Longer than any wave may wait for evidence: a rollout that gets here hangs. */
const LOOKS_MAX = 200_000;

interface Robot {
  readonly rate: number;
  hasCrashed: boolean;
  hasFailed: boolean;
}

export function simulateRollout(world: World, seed: number): Outcome {
  const random = new Random(seed);
  const robots = Array.from({ length: world.robots }, (): Robot => {
    const rate = world.crashesPerHour * random.frailty(world.spread);
    return { rate, hasCrashed: false, hasFailed: false };
  });
  let looks = 0;
  for (const [wave, percent] of world.waves.entries()) {
    const exposed = Math.max(1, Math.round((world.robots * percent) / 100));
    const { verdict, looks: waited } = playWave({ world, random, robots, exposed });
    looks += waited;
    const hours = (looks * LOOK_S) / 3600;
    if (verdict.kind === 'halt') return { end: 'halted', wave, hours, exposed, verdict };
    if (wave === world.waves.length - 1) return { end: 'passed', wave, hours, exposed, verdict };
  }
  throw new RangeError('a rollout needs a wave');
}

function playWave(run: { world: World; random: Random; robots: Robot[]; exposed: number }): {
  verdict: GateVerdict;
  looks: number;
} {
  const { world, random, robots, exposed } = run;
  const gates = gatesSchema.parse(world.gates);
  for (const robot of robots) robot.hasCrashed = robot.hasFailed = false;
  const treated = new Group('treated', robots.slice(0, exposed));
  const control = new Group('control', robots.slice(exposed));
  const attempts = { cohort: exposed, reachable: exposed, installed: exposed };
  let evidence = emptyEvidence();
  for (let looks = 1; looks < LOOKS_MAX; looks += 1) {
    const increments = [...treated.live(world, random), ...control.live(world, random)];
    const now = looks * LOOK_S * 1000;
    evidence = addIncrements(evidence, increments, { gates, now });
    const verdict = judge({
      gates,
      evidence,
      attempts: {
        ...attempts,
        failed: 0,
        vanished: 0,
        newcomers: { reachable: 0, installed: 0 },
        examples: [],
        unable: [],
      },
      history: emptyGroup(),
      now,
      stages: STAGES,
      soak: { elapsedS: looks * LOOK_S, soakS: world.soakS },
    });
    if (verdict.kind !== 'hold') return { verdict, looks };
  }
  throw new RangeError('the wave never ends');
}

const NOTHING = { hours: 0, crashes: 0, tasksCompleted: 0, tasksFailed: 0 };
const NO_FIRSTS = { firstReport: false, firstCrash: false, firstFailure: false };

/** Robots of one group; those to which nothing happens report together. */
class Group {
  readonly #name: Increment['group'];
  readonly #robots: readonly Robot[];
  /** Sums of rates up to each robot, to draw who crashed. */
  readonly #upTo: readonly number[];
  #unheard: number;

  constructor(name: Increment['group'], robots: readonly Robot[]) {
    this.#name = name;
    this.#robots = robots;
    this.#unheard = robots.length;
    let sum = 0;
    this.#upTo = robots.map(({ rate }) => (sum += rate));
  }

  /** The reports of the group in one pass. */
  live(world: World, random: Random): Increment[] {
    if (this.#robots.length === 0) return [];
    const isNew = this.#name === 'treated';
    const hours = (this.#robots.length * LOOK_S) / 3600;
    const bad = isNew ? world.crashPerTask : 0;
    const perHour = world.tasksPerHour * hours;
    const crashes = random.poisson(
      ((this.#upTo.at(-1) ?? 0) * (isNew ? world.crashRatio : 1) * LOOK_S) / 3600,
    );
    const lethal = random.poisson(perHour * bad);
    const failed = random.poisson(perHour * (1 - bad) * world.taskFailure);
    const completed = random.poisson(perHour * (1 - bad) * (1 - world.taskFailure));
    const quiet = { hours, crashes: 0, tasksCompleted: completed, tasksFailed: 0 };
    return [
      this.#report({ ...quiet }),
      ...repeat(this.#newcomers(), () => ({ ...this.#report(NOTHING), firstReport: true })),
      ...repeat(crashes, () => this.#event(this.#anyByRate(random), { crashes: 1 })),
      ...repeat(failed, () => this.#event(this.#any(random), { tasksFailed: 1 })),
      ...repeat(lethal, () => this.#event(this.#any(random), { crashes: 1, tasksFailed: 1 })),
    ];
  }

  #report(fields: Pick<Increment, 'hours' | 'crashes' | 'tasksCompleted' | 'tasksFailed'>) {
    return { group: this.#name, ...fields, ...NO_FIRSTS };
  }

  #newcomers(): number {
    const heard = this.#unheard;
    this.#unheard = 0;
    return heard;
  }

  #event(robot: Robot, what: { crashes?: number; tasksFailed?: number }): Increment {
    const { crashes = 0, tasksFailed = 0 } = what;
    const firstCrash = crashes > 0 && !robot.hasCrashed;
    const firstFailure = tasksFailed > 0 && !robot.hasFailed;
    robot.hasCrashed ||= crashes > 0;
    robot.hasFailed ||= tasksFailed > 0;
    const report = this.#report({ hours: 0, crashes, tasksCompleted: 0, tasksFailed });
    return { ...report, firstCrash, firstFailure };
  }

  #any(random: Random): Robot {
    return this.#robots[Math.floor(random.next() * this.#robots.length)] as Robot;
  }

  #anyByRate(random: Random): Robot {
    const at = random.next() * (this.#upTo.at(-1) ?? 0);
    let [low, high] = [0, this.#upTo.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#upTo[middle] ?? 0) > at) high = middle;
      else low = middle + 1;
    }
    return this.#robots[low] as Robot;
  }
}

function repeat<T>(times: number, make: () => T): T[] {
  return Array.from({ length: times }, make);
}

/** Mulberry32 with the three distributions that the fleet needs. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  }

  /** Uniform in (0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return (((bits ^ (bits >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  }

  poisson(mean: number): number {
    if (mean > POISSON_PIECE) return this.poisson(mean / 2) + this.poisson(mean / 2);
    const floor = Math.exp(-mean);
    let count = 0;
    for (let product = this.next(); product > floor; product *= this.next()) count += 1;
    return count;
  }

  /** Gamma with mean 1 and this coefficient of variation, where 1/cv^2 is a whole number. */
  frailty(variation: number): number {
    if (variation === 0) return 1;
    const shape = Math.round(1 / variation ** 2);
    const logs = repeat(shape, () => Math.log(this.next()));
    return -logs.reduce((sum, log) => sum + log, 0) / shape;
  }
}

/** exp(-mean) of the sampler must not lose digits. */
const POISSON_PIECE = 30;

export interface Summary {
  readonly runs: number;
  readonly halted: number;
  /** Halted before the canary wave passed. */
  readonly caughtInCanary: number;
  readonly medianHours: number;
  readonly medianExposed: number;
}

export function simulateMany(
  world: World,
  { runs, firstSeed }: { readonly runs: number; readonly firstSeed: number },
): Summary {
  const outcomes = Array.from({ length: runs }, (_, at) => simulateRollout(world, firstSeed + at));
  const halted = outcomes.filter(({ end }) => end === 'halted');
  return {
    runs,
    halted: halted.length,
    caughtInCanary: halted.filter(({ wave }) => wave === 0).length,
    medianHours: median(outcomes.map(({ hours }) => hours)),
    medianExposed: median(outcomes.map(({ exposed }) => exposed)),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
