/**
 * A wave in which nothing succeeded never passes. Random fleets update, fail, vanish, are retired,
 * come back and are put back by a person, under any bounds; the whole decision runs after each
 * event. The oracle shares no code with the gate: it knows of each robot what it does, whether the
 * broker knows it, and how far each wave reached.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Fleet } from '../../../broker/control/fleet.ts';
import { membersOf } from '../../../broker/rollout/classify.ts';
import type { CounterMark } from '../../../broker/rollout/counters.ts';
import { listMembers } from '../../../broker/rollout/members.ts';
import { obey } from '../../../broker/rollout/operator-commands.ts';
import { reconcile } from '../../../broker/rollout/reconcile.ts';
import {
  beginRun,
  plansOf,
  type RolloutPlan,
  type RolloutRun,
} from '../../../broker/rollout/record.ts';
import { openFirst } from '../../../broker/rollout/transitions.ts';
import { takeOver } from '../../../broker/rollout/takeover.ts';
import { openAnnouncement } from '../../../shared/formats/announcement.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import type { ComponentStateFields } from '../../../shared/formats/messages.ts';
import { openProgress } from '../../../shared/formats/progress.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { SEED_VARIABLE, seedOfRun } from '../../helpers/run-seed.ts';
import { Random } from '../../sim/random.ts';
import { AT, AT_MS, makeState, robotId } from '../reports.ts';

const HISTORIES = 40;
const EVENTS = 100;
const ID = 'x-1';
const SALT = 'salt';

const fleet = makeFleet();
const bundle = await fleet.makeBundle({ version: '2.0.0' });

function planFor(random: Random): RolloutPlan {
  const canaries = random.chance(0.4) ? ['r0', 'r1', 'r2'].map(robotId) : [];
  const rollout = fleet.makeRollout(ID, bundle, {
    salt: SALT,
    waves: [30, 60, 100].map((percent) => ({ percent, soak_s: 0 })),
    min_canaries: random.between(1, 3),
    canaries: canaries.length > 0 ? { robots: canaries } : {},
    gates: {
      apply_success_min: random.pick([0, 0.1, 0.5, 0.9]),
      report_share_min: random.pick([0, 0.2, 0.8]),
      vanish_s: random.pick([1, 600]),
      batch_s: 1,
      evidence_wait_s: 1,
      auto_rollback: false,
    },
  });
  const [plan] = plansOf(openAnnouncement(fleet.announce(1, [rollout]), fleet.trust), fleet.trust);
  assert.ok(plan);
  return plan;
}

type Doing = 'waits' | 'updates' | 'runs it' | 'failed' | 'was put back';

class Robot {
  readonly id: RobotId;
  readonly fraction: number;
  readonly isCanary: boolean;
  doing: Doing = 'waits';
  isOnline = true;
  isKnown = true;

  constructor(at: number, { rollout: { canaries } }: RolloutPlan) {
    this.id = robotId(`r${at}`);
    this.fraction = cohortFraction(SALT, this.id);
    this.isCanary = canaries.robots.includes(this.id);
  }

  report(): Partial<ComponentStateFields> {
    const took = { started_at: AT, ended_at: AT, took_s: 1, bytes: 1 };
    const about = { rollout: ID, version: '2.0.0' };
    const last_update = { ...about, outcome: 'installed', ...took } as const;
    switch (this.doing) {
      case 'waits':
        return {};
      case 'updates':
        return { phase: 'rolling_back', rollout: ID, target_version: '2.0.0' };
      case 'runs it':
        return { version: '2.0.0', last_update, usage: [{ stint: 2, ...about, run_s: 60 }] };
      case 'failed':
        return {
          last_update: { ...last_update, outcome: 'rolled_back', code: 'HEALTH_FAILED' },
          blocked: ['2.0.0'],
        };
      case 'was put back':
        return { last_update, blocked: ['2.0.0'] };
    }
  }
}

class History {
  readonly #random: Random;
  readonly #plan: RolloutPlan;
  readonly #known = new Fleet();
  readonly #robots: readonly Robot[];
  readonly #marks = new Map<RobotId, CounterMark>();
  readonly #luck: number;
  #now = AT_MS;
  #run: RolloutRun;
  /** The threshold of the wave before. */
  #reached = 0;
  passed = 0;
  halted = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#plan = planFor(this.#random);
    this.#luck = this.#random.pick([0, 0, 0.1, 0.5, 1]);
    this.#robots = Array.from({ length: 9 }, (_, at) => new Robot(at, this.#plan));
    for (const robot of this.#robots) this.#tell(robot);
    const run = beginRun(this.#plan, AT_MS);
    const input = { plan: this.#plan, by: 'test', now: AT_MS, members: this.#members() };
    this.#run = openFirst(run, input).run;
  }

  #members() {
    const robots = this.#known.robots();
    const now = this.#now;
    const marks = this.#marks;
    const members = membersOf({ plan: this.#plan, robots, now, watchedSinceMs: AT_MS, marks });
    return listMembers(members, this.#plan.rollout, marks);
  }

  #tell(robot: Robot): void {
    robot.isKnown = true;
    this.#known.applyState(makeState(robot.id, robot.report()), this.#now);
    this.#known.applyOnline(robot.id, robot.isOnline, this.#now);
  }

  step(): boolean {
    const random = this.#random;
    const robot = random.pick(this.#robots);
    const isMeant = robot.isCanary || robot.fraction < this.#run.threshold;
    if (random.chance(0.1)) {
      this.#known.forget(robot.id);
      robot.isKnown = false;
    } else {
      if (random.chance(0.2)) robot.isOnline = !robot.isOnline;
      if (robot.isOnline && robot.doing === 'updates') {
        robot.doing = random.chance(this.#luck) ? 'runs it' : 'failed';
      } else if (robot.isOnline && robot.doing === 'waits' && isMeant) robot.doing = 'updates';
      else if (robot.doing === 'runs it' && random.chance(0.05)) robot.doing = 'was put back';
      this.#tell(robot);
    }
    this.#now += random.pick([1_000, 30_000]);
    this.#decide();
    return this.#run.status === 'rolling';
  }

  #decide(): void {
    const { threshold, wave } = this.#run;
    const robots = this.#known.robots();
    const [plan, now, marks] = [this.#plan, this.#now, this.#marks];
    const pass = { run: this.#run, plan, now, watchedSinceMs: AT_MS, robots, marks };
    const { step, marks: saved } = reconcile(pass);
    for (const [robot, mark] of saved) marks.set(robot, mark);
    if (step.audit.some(({ kind }) => kind === 'passed')) this.#assertProven(step.audit[0]?.text);
    if (step.run.status === 'halted') this.halted += 1;
    if (step.run.wave !== wave) this.#reached = threshold;
    this.#run = step.run;
  }

  #assertProven(text = ''): void {
    this.passed += 1;
    const { wave, threshold } = this.#run;
    const known = this.#robots.filter(({ isKnown }) => isKnown);
    const runs = (robots: readonly Robot[]) => robots.some(({ doing }) => doing === 'runs it');
    const cohort = known.filter((one) => one.isCanary || one.fraction < threshold);
    assert.ok(runs(cohort), `no robot of the cohort runs it, but ${text}`);
    const letIn = cohort.filter((one) =>
      wave === 0 ? one.isCanary : !one.isCanary && one.fraction >= this.#reached,
    );
    const tried = letIn.filter(({ doing }) => doing === 'failed' || doing === 'updates');
    assert.ok(tried.length === 0 || runs(letIn), `none that it let in runs it, but ${text}`);
  }
}

it('no wave passes in which nothing succeeded, in random histories under any bounds', () => {
  const first = seedOfRun();
  const seen = { passed: 0, halted: 0 };
  for (let seed = first; seed < first + HISTORIES; seed += 1) {
    const history = new History(seed);
    try {
      for (let event = 0; event < EVENTS && history.step(); event += 1);
    } catch (error) {
      throw new Error(`again: ${SEED_VARIABLE}=${seed}`, { cause: error });
    }
    seen.passed += history.passed;
    seen.halted += history.halted;
  }
  assert.ok(seen.passed > HISTORIES / 4 && seen.halted > HISTORIES / 4, JSON.stringify(seen));
});

it('only a person who forces the wave open gets past it', () => {
  const plan = planFor(new Random(7));
  const run = { ...beginRun(plan, AT_MS), stage: 1, wave: 1, threshold: 1 };
  const known = new Fleet();
  for (const [at, doing] of (['failed', 'updates', 'waits'] as const).entries()) {
    const robot = Object.assign(new Robot(at, plan), { doing });
    known.applyState(makeState(robot.id, robot.report()), AT_MS);
  }
  const robots = known.robots();
  const facts = { plan, now: AT_MS, watchedSinceMs: AT_MS, robots, marks: new Map() };
  assert.equal(reconcile({ ...facts, run }).step.run.wave, 1);
  const said = { command: 'force-open', who: 'ana', reason: 'known', wave: 1 } as const;
  const forced = obey(run, said, { plan, now: AT_MS }).run;
  const { step } = reconcile({ ...facts, run: forced });
  assert.match(step.audit[0]?.text ?? '', /^wave 1 ended without a verdict, forced by a person/);
});

it('a wave that was taken over begins where the announced share before it ends', () => {
  const plan = planFor(new Random(7));
  const bytes = fleet.progress({ rollout: ID, seq: 4, wave: 2, threshold: 0.7 });
  const taken = takeOver(null, plan, openProgress(bytes, fleet.trust), AT_MS);
  assert.deepEqual([taken?.previous, taken?.threshold], [0.3, 0.7]);
});
