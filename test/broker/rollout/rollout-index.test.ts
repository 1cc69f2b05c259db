/**
 * The index against its oracle: after every event of random histories it must decide as the full
 * computation does, and answer every question about the members alike. Three rollouts overlap, of
 * which one leads robots to another; robots come, report every phase, go and are retired; clocks
 * jump, writes fail, announcements change.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Fleet } from '../../../broker/control/fleet.ts';
import { membersOf } from '../../../broker/rollout/classify.ts';
import type { CounterMark } from '../../../broker/rollout/counters.ts';
import { listMembers, type Members } from '../../../broker/rollout/members.ts';
import { RecallIndex, recallOf } from '../../../broker/rollout/recall.ts';
import { decide, reconcile } from '../../../broker/rollout/reconcile.ts';
import {
  beginRun,
  plansOf,
  type RolloutPlan,
  type RolloutRun,
} from '../../../broker/rollout/record.ts';
import { withCounts } from '../../../broker/rollout/save-counts.ts';
import { RolloutClasses } from '../../../broker/rollout/rollout-classes.ts';
import { RolloutIndex, type IndexFacts } from '../../../broker/rollout/rollout-index.ts';
import {
  classifiedReached,
  describeRollouts,
  type ClassCounts,
  type Classified,
} from '../../../broker/rollout/views.ts';
import { openFirst } from '../../../broker/rollout/transitions.ts';
import { planThreshold, reachOf, somebodyIsLeft } from '../../../broker/rollout/waves.ts';
import { hasEffect, isSettled } from '../../../broker/rollout/outcome.ts';
import { openAnnouncement, type RolloutFields } from '../../../shared/formats/announcement.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import type { ComponentStateFields } from '../../../shared/formats/messages.ts';
import { PHASES } from '../../../shared/formats/messages.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { SEED_VARIABLE, seedOfRun } from '../../helpers/run-seed.ts';
import { Random } from '../../sim/random.ts';
import { classesInFull } from '../classes-in-full.ts';
import { AT, AT_MS, makeEvent, makeState, robotId } from '../reports.ts';

const HISTORIES = 20;
const EVENTS = 70;
/** Sets of rules for the same rollouts. */
const RULES = 6;
const ROBOTS = Array.from({ length: 14 }, (_, at) => robotId(`r${at}`));
const VERSIONS = ['1.0.0', '2.0.0', '3.0.0', '4.0.0', null];
const CODES = [
  ...['HEALTH_FAILED', 'DISK_FULL', 'DISK_SPACE_SHORT', 'READY_DEADLINE', 'TOO_OLD'],
  ...['ROLLBACK_FAILED', 'LOG_PROOF_MISSING', 'SLOT_FOREIGN', 'NO_WAY_BACK'],
];

const fleet = makeFleet();
const bundles = new Map(
  await Promise.all(
    ['2.0.0', '3.0.0', '4.0.0'].map(async (version) => {
      const manifest = version === '4.0.0' ? { min_current_version: '2.0.0' } : {};
      return [version, await fleet.makeBundle({ version, manifest })] as const;
    }),
  ),
);

function rolloutFor(id: string, version: string, random: Random): RolloutFields {
  const bundle = bundles.get(version);
  assert.ok(bundle);
  return fleet.makeRollout(id, bundle, {
    salt: `${id} ${random.between(0, 9)}`,
    waves: [10, 50, 100].map((percent) => ({ percent, soak_s: random.pick([0, 60]) })),
    min_canaries: random.between(1, 3),
    target: random.chance(0.5) ? {} : { tags: ['hall'] },
    canaries: random.chance(0.3) ? { robots: [random.pick(ROBOTS)] } : {},
    approve_after: random.chance(0.2) ? [1] : [],
    gates: { vanish_s: 120, evidence_wait_s: 120, auto_rollback: random.chance(0.5) },
  });
}

const VERSION_OF: Readonly<Record<string, string>> = { two: '2.0.0', three: '3.0.0' };
const made = new Map<string, RolloutPlan>();

/** Kept: signatures take longer than all that is tested here. */
function planOf(id: string, rules: number): RolloutPlan {
  const key = `${id} ${rules}`;
  const known = made.get(key);
  if (known) return known;
  const random = new Random(rules * 7 + id.length);
  const rollout = rolloutFor(id, VERSION_OF[id] ?? '4.0.0', random);
  const announcement = openAnnouncement(fleet.announce(1, [rollout]), fleet.trust);
  const [plan] = plansOf(announcement, fleet.trust);
  assert.ok(plan);
  made.set(key, plan);
  return plan;
}

/** A report of any form, also one that no honest robot sends. */
function anyReport(robot: RobotId, random: Random, stint: number) {
  const id = random.pick(['two', 'three', 'four', 'other']);
  const version = random.pick(VERSIONS);
  const aim = random.pick(['2.0.0', '3.0.0', '4.0.0']);
  const outcome = random.pick(['installed', 'rolled_back', 'refused', 'recalled'] as const);
  const took = { started_at: AT, ended_at: AT, took_s: 1, bytes: 1 };
  const usage = Array.from({ length: random.between(0, 3) }, (_, at) => ({
    stint: Math.max(0, stint - at),
    version: random.pick([version, ...VERSIONS]),
    rollout: random.pick([id, null]),
    run_s: random.between(0, 9_000) / 7,
    tasks_completed: random.between(0, 50),
    tasks_failed: random.between(0, 2),
    crashes: random.chance(0.2) ? 1 : 0,
  }));
  const problem = { code: random.pick(CODES), message: 'no', at: AT, version: null };
  const component: Partial<ComponentStateFields> = {
    version,
    phase: random.chance(0.5) ? 'idle' : random.pick(PHASES),
    rollout: random.chance(0.6) ? id : null,
    blocked: random.chance(0.2) ? [aim] : [],
    ...(random.chance(0.5) && {
      last_update: { rollout: id, version: aim, outcome, code: random.pick(CODES), ...took },
    }),
    ...(random.chance(0.3) && { last_error: problem }),
    ...(random.chance(0.2) && { highest_version: random.pick(VERSIONS) }),
    usage,
  };
  return makeState(robot, component, {
    tags: random.chance(0.7) ? ['hall'] : [],
    counter_epoch: random.chance(0.95) ? 'e1' : 'e2',
  });
}

class History {
  readonly #random: Random;
  readonly #robots = new Fleet();
  readonly #classes = new RolloutClasses(this.#robots);
  readonly #rollouts: readonly Followed[];
  /** Seed of the announced rules. */
  #rules: number;
  #plans: ReadonlyMap<string, RolloutPlan> = new Map();
  #now = AT_MS;
  #watchedSinceMs = AT_MS;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#rules = seed;
    this.#announce(['two', 'three', 'four']);
    this.#rollouts = [...this.#plans.values()].map((plan) => new Followed(plan, this.#robots));
    this.#robots.watch((robot) => {
      for (const one of this.#rollouts) one.note(robot);
    });
  }

  /** @param hasNewRules with other salts and targets for the same ids */
  #announce(ids: readonly string[], hasNewRules = false): void {
    if (hasNewRules) this.#rules += 1;
    // Each announcement that arrives is parsed again, also one with the same content.
    this.#plans = new Map(ids.map((id) => [id, { ...planOf(id, this.#rules % RULES) }]));
  }

  step(): void {
    const random = this.#random;
    const robot = random.pick(ROBOTS);
    const isOn = random.chance(0.6);
    const events: readonly (readonly [number, () => unknown])[] = [
      [47, () => this.#robots.applyState(anyReport(robot, random, this.#stint()), this.#now)],
      [15, () => this.#robots.applyOnline(robot, isOn, this.#now)],
      [5, () => this.#robots.applyOnline(robot, isOn, this.#now, 'site')],
      [3, () => this.#robots.applyRelay('site', isOn)],
      [4, () => this.#robots.applyEvent(makeEvent(robot, this.#stint()), this.#now)],
      [5, () => this.#robots.forget(robot)],
      [8, () => (this.#now += random.pick([1_000, 60_000, 130_000, 400_000]))],
      [2, () => (this.#now -= 200_000)],
      [2, () => (this.#watchedSinceMs = this.#now)],
      [2, () => this.#announce(['two', 'three', 'four'])],
      [4, () => this.#announce(random.pick([['two', 'four'], ['four'], ['four']]))],
      [2, () => this.#announce(['two', 'three', 'four'], true)],
    ];
    let at = random.between(1, 99);
    const [, happen] = events.find(([weight]) => (at -= weight) <= 0) ?? [0, () => undefined];
    happen();
    for (const one of this.#rollouts) {
      const plan = this.#plans.get(one.id);
      if (plan) one.compare(this.#robots, this.#factsOf(plan), random);
    }
    if (random.chance(0.5)) this.#compareViews();
  }

  /** The views of the API, from kept classes and in full. */
  #compareViews(): void {
    const announcement = { rollouts: [...this.#plans.values()].map(({ rollout }) => rollout) };
    const input = { announcement, progress: new Map<string, never>(), verified: true };
    const views = (classes: (of: Classified) => ClassCounts) => [
      ...describeRollouts({ ...input, classes }).map(({ robots }) => robots),
      classes(classifiedReached('two', { component: 'app', version: '2.0.0' })).length > 0,
    ];
    assert.deepEqual(
      views((of) => this.#classes.of(of)),
      views(classesInFull(this.#robots)),
    );
  }

  #stint(): number {
    return this.#random.between(1, 4);
  }

  #factsOf(plan: RolloutPlan): Omit<IndexFacts, 'run'> & { readonly plan: RolloutPlan } {
    return { plan, plans: this.#plans, now: this.#now, watchedSinceMs: this.#watchedSinceMs };
  }
}

/** Compares the sums of two records, with a tolerance for the order of the additions. */
function assertAlike(one: RolloutRun, other: RolloutRun): void {
  const numbers = ({ history, evidence: { treated, control } }: RolloutRun) =>
    [history, treated, control].flatMap((group) => Object.values<number>(group));
  const expected = numbers(other);
  for (const [at, got] of numbers(one).entries()) {
    assert.ok(Math.abs(got - (expected[at] ?? NaN)) < 1e-9, `${got} is not ${expected[at]}`);
  }
}

/** One rollout in a history: its record, its marks, and the indexes. */
class Followed {
  readonly id: string;
  readonly #marks = new Map<RobotId, CounterMark>();
  #index: RolloutIndex;
  readonly #recall: RecallIndex;
  #run: RolloutRun;

  constructor(plan: RolloutPlan, robots: Fleet) {
    this.id = plan.rollout.id;
    this.#run = beginRun(plan, AT_MS);
    this.#index = new RolloutIndex(robots, this.#marks);
    this.#recall = new RecallIndex(robots);
  }

  note(robot: RobotId): void {
    this.#index.note(robot);
    this.#recall.note(robot);
  }

  compare(
    robots: Fleet,
    facts: Omit<IndexFacts, 'run'> & { readonly plan: RolloutPlan },
    random: Random,
  ): void {
    let run = this.#run;
    const { plan, now } = facts;
    const marks = this.#marks;
    // A controller that starts again has only the marks.
    if (random.chance(0.03)) this.#index = new RolloutIndex(robots, marks);
    const members = membersOf({ ...facts, robots: robots.robots(), marks });
    const listed = listMembers(members, plan.rollout, marks);
    if (run.stage === 0) {
      this.#index.update({ ...facts, run: null }, Infinity);
      const input = { plan, by: 'test', now };
      const opened = openFirst(run, { ...input, members: this.#index });
      assert.deepEqual(opened, openFirst(run, { ...input, members: listed }));
      if (random.chance(0.3)) this.#run = opened.run;
      return;
    }
    while (!this.#index.update({ ...facts, run }, random.between(1, 3)));
    const whole = reconcile({ ...facts, run, marks, robots: robots.robots() });
    const isSliced = random.chance(0.3);
    run = isSliced ? this.#saveSlices(run, now, random) : run;
    const found = decide({ run, plan, now }, this.#index, this.#index.observation());
    const full = reconcile({ ...facts, run, marks, robots: robots.robots() });
    // Sums in another order differ in their last digits, which gates compare with a tolerance.
    if (isSliced) assertAlike(full.step.run, whole.step.run);
    assert.deepEqual(found, full);
    this.#ask(listed, random);
    assert.equal(this.#index.findWrong(robots.ids()), null);
    assert.ok(this.#index.isWhole());
    const recalled = { ...run, recall: true };
    assert.deepEqual(this.#recall.recallOf(recalled), recallOf(recalled, robots.robots()));
    if (random.chance(0.3)) {
      // The write failed; and then perhaps another controller's record is taken over.
      if (random.chance(0.1)) this.#run = { ...run, stage: run.stage + 1 };
      return;
    }
    this.#index.kept(full.marks);
    for (const [robot, mark] of full.marks) marks.set(robot, mark);
    // An operator, or another wave, may have moved it.
    const isMoved = random.chance(0.05);
    const status = 'rolling';
    const moved = { previous: random.pick([0, 0.1]), threshold: random.pick([0.1, 0.5, 1]) };
    this.#run = isMoved ? { ...full.step.run, ...moved, status } : full.step.run;
  }

  /** Counts some robots at a time, as the controller does where many have reported. */
  #saveSlices(run: RolloutRun, now: number, random: Random): RolloutRun {
    let sliced = run;
    const max = random.between(1, 3);
    for (let some = this.#index.someObserved(max); some; some = this.#index.someObserved(max)) {
      sliced = withCounts({ run: sliced, now }, some).run;
      this.#index.kept(some.marks);
      for (const [robot, mark] of some.marks) this.#marks.set(robot, mark);
      // A crash after any slice: the counts that were saved are in the sums, and no others.
      if (random.chance(0.2)) return sliced;
    }
    return sliced;
  }

  #ask(listed: Members, random: Random): void {
    const thresholds = [this.#run.threshold, random.pick([0, 0.1, random.next(), 1])];
    const range = { previous: random.next() / 2, threshold: random.next() };
    const minCanaries = random.between(0, 4);
    const answers = (members: Members) => [
      members.size,
      members.unable(),
      members.whyNot(),
      members.countSpent(range),
      ...thresholds.flatMap((threshold) => {
        const some = members.samples(threshold);
        const { previous } = range;
        const inOrder = members.inOrder(previous, reachOf(minCanaries));
        return [
          members.countAll({ previous, threshold }),
          members.countAll({ previous, threshold }, previous),
          hasEffect(some),
          isSettled(some, threshold),
          somebodyIsLeft(some, threshold),
          planThreshold({ members: inOrder, share: threshold, previous, minCanaries }),
        ];
      }),
    ];
    assert.deepEqual(answers(this.#index), answers(listed));
  }
}

it('the index decides as the full computation does, after every event of random histories', () => {
  const first = seedOfRun();
  for (let seed = first; seed < first + HISTORIES; seed += 1) {
    const history = new History(seed);
    try {
      for (let event = 0; event < EVENTS; event += 1) history.step();
    } catch (error) {
      throw new Error(`again: ${SEED_VARIABLE}=${seed}`, { cause: error });
    }
  }
});
