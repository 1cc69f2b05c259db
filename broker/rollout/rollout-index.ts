/**
 * The members of one rollout and their counts, kept up to date by the robots that changed. A pass
 * then costs what has changed, and nothing at a quiet fleet. It must decide as the full computation
 * over a list does (`reconcile`), to the last digit: the tests and, in part, a running controller
 * compare both. A caller names the robots that changed; their records are read from a source.
 * Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { releaseOf } from '../../shared/rules/release-identity.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { contextOf, memberOf, type Member, type MemberContext } from './classify.ts';
import {
  countTurns,
  gatherObserved,
  isOfWave,
  nameSome,
  observeRobot,
  spentOf,
  type CounterMark,
  type Observation,
  type RobotObserved,
  type SpentRobot,
  type WaveRange,
} from './counters.ts';
import { FractionOrder } from './fraction-order.ts';
import type { Attempts } from './gate-types.ts';
import { MemberGroups, type Entry } from './member-groups.ts';
import { nameUnable, type Members, type NamedRobots } from './members.ts';
import { needsMending, tellWhyNot } from './outcome.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';
import { VanishTimes } from './vanish-times.ts';
import { isInOrder } from './waves.ts';

/** Where the index reads the records of robots. */
export interface RobotSource {
  get(robot: string): RobotRecord | undefined;
  ids(): Iterable<RobotId>;
}

/** Facts of a pass. */
export interface IndexFacts {
  /** Null where nothing is counted, only members are listed. */
  readonly run: RolloutRun | null;
  readonly plan: Pick<RolloutPlan, 'rollout' | 'manifest'>;
  readonly plans: ReadonlyMap<string, RolloutPlan>;
  readonly now: EpochMs;
  readonly watchedSinceMs: EpochMs;
}

export class RolloutIndex implements Members {
  readonly #robots: RobotSource;
  /** Of the controller, which changes it when it has saved what was counted; see `kept`. */
  readonly #marks: ReadonlyMap<RobotId, CounterMark>;
  #context: MemberContext | null = null;
  /** The announced rules in `#context`, as text. */
  #rules = '';
  /** The run, release and stage that `#observed` was counted for. */
  #countedFor = '';
  readonly #changed = new Set<RobotId>();
  #groups = new MemberGroups();
  #order = new FractionOrder<Entry>();
  #vanish = new VanishTimes();
  /** Counts that were not saved yet. */
  readonly #observed = new Map<RobotId, RobotObserved>();
  readonly #spent = new Map<RobotId, SpentRobot>();

  constructor(robots: RobotSource, marks: ReadonlyMap<RobotId, CounterMark>) {
    this.#robots = robots;
    this.#marks = marks;
  }

  /** The record of this robot changed, or it is gone. */
  note(robot: RobotId): void {
    this.#changed.add(robot);
  }

  /** Called when these were saved, before they replace the marks. */
  kept(saved: ReadonlyMap<RobotId, CounterMark>): void {
    for (const [robot, { outcome }] of saved) {
      this.#observed.delete(robot);
      // How it ended decides over its class; the totals that were counted do not.
      if (outcome !== (this.#marks.get(robot)?.outcome ?? null)) this.note(robot);
    }
  }

  /**
   * Takes up to `max` robots that changed into account.
   * @returns true when none is left: the index is as a list of now
   */
  update(facts: IndexFacts, max: number): boolean {
    this.#adopt(facts);
    const context = this.#context as MemberContext;
    for (const robot of this.#vanish.due(context)) this.note(robot);
    let left = max;
    for (const robot of this.#changed) {
      if (left === 0) return false;
      left -= 1;
      this.#changed.delete(robot);
      this.#take(robot, context, facts.run);
    }
    return true;
  }

  /** Compares rules and stage with those of the pass before. */
  #adopt({ run, plan, plans, now, watchedSinceMs }: IndexFacts): void {
    const known = this.#context;
    if (known?.plans !== plans || known.plan !== plan) {
      const rules = rulesText(plan);
      if (rules !== this.#rules) this.#beginAnew();
      // Another rollout may lead robots here that are too old.
      else this.#noteAll(({ one }) => one.why === 'TOO_OLD');
      this.#rules = rules;
      this.#context = contextOf({ plan, plans, now, watchedSinceMs, marks: this.#marks });
    } else {
      this.#context = { ...known, now, watchedSinceMs };
    }
    if (known && known.watchedSinceMs !== watchedSinceMs) {
      for (const robot of this.#vanish.all()) this.note(robot);
    }
    this.#countFor(run);
  }

  #countFor(run: RolloutRun | null): void {
    const before = this.#countedFor;
    this.#countedFor = run ? `${run.rollout} ${run.version} ${run.stage}` : '';
    if (this.#countedFor === before) return;
    if (before === '') return this.#noteAll(() => true);
    for (const robot of this.#observed.keys()) this.note(robot);
  }

  #beginAnew(): void {
    this.#groups = new MemberGroups();
    this.#order = new FractionOrder<Entry>();
    this.#vanish = new VanishTimes();
    this.#observed.clear();
    this.#spent.clear();
    for (const robot of this.#robots.ids()) this.note(robot);
    for (const robot of this.#marks.keys()) this.note(robot);
  }

  #noteAll(isMeant: (one: Entry) => boolean): void {
    for (const one of this.#groups.entries()) if (isMeant(one)) this.note(one.robot);
  }

  #take(robot: RobotId, context: MemberContext, run: RolloutRun | null): void {
    const record = this.#robots.get(robot);
    const before = this.#groups.get(robot);
    const member = record ? memberOf(record, context, before?.fraction) : null;
    this.#place(robot, before, member);
    this.#vanish.note(robot, member, record, context);
    const mark = this.#marks.get(robot);
    const { rollout } = context.plan;
    const outcome = mark?.outcome ?? null;
    const spent = spentOf(robot, member ?? undefined, { rollout, outcome });
    if (spent) this.#spent.set(robot, spent);
    else this.#spent.delete(robot);
    const observed = member && run ? observeRobot(run, member, mark) : null;
    if (observed) this.#observed.set(robot, observed);
    else this.#observed.delete(robot);
  }

  #place(robot: RobotId, before: Entry | undefined, member: Member | null): void {
    const wasInOrder = before !== undefined && isInOrder(before.one);
    const now = member && this.#groups.put(member);
    if (!member) this.#groups.delete(robot);
    if (now && now === before) return;
    if (wasInOrder) this.#order.delete(before);
    if (now && isInOrder(now.one)) this.#order.add(now);
  }

  /** The counts that were reported and are not in the marks. */
  observation(): Observation {
    return gatherObserved([...this.#observed].sort(byRobot));
  }

  /** Some of these; null when there are at most `max` of them. */
  someObserved(max: number): Observation | null {
    if (this.#observed.size <= max) return null;
    const some: (readonly [RobotId, RobotObserved])[] = [];
    for (const one of this.#observed) {
      if (some.length === max) break;
      some.push(one);
    }
    return gatherObserved(some.sort(byRobot));
  }

  /**
   * Computes the membership of some robots as a list would.
   * @returns the first that is not as the index has it; null when all are
   */
  findWrong(robots: Iterable<RobotId>): RobotId | null {
    const context = this.#context;
    if (!context) return null;
    for (const robot of robots) {
      if (this.#changed.has(robot)) continue;
      const record = this.#robots.get(robot);
      const member = record ? memberOf(record, context) : null;
      if (!this.#groups.isAs(robot, member)) return robot;
    }
    return null;
  }

  /** Counts all members again. @returns false when the kept counts are others */
  isWhole(): boolean {
    return this.#groups.isWhole();
  }

  get size(): number {
    return this.#groups.size;
  }

  samples(threshold: number): Entry['one'][] {
    return this.#groups.at(threshold).map(([one]) => one);
  }

  countAll(wave: WaveRange, since: number | null = null): Attempts {
    const { threshold } = wave;
    return {
      ...countTurns(this.#groups.at(threshold), threshold),
      newcomers: this.#groups.newcomers(wave),
      ...nameSome(this.#groups.named(threshold, since), threshold, since),
    };
  }

  inOrder(previous: number, count: number): Entry['one'][] {
    return this.#order.from(previous, count).map(({ one, fraction }) => ({ ...one, fraction }));
  }

  unable(): NamedRobots {
    const found = this.#groups.listNamed().filter(needsMending);
    return nameUnable(found.sort((a, b) => (a.robot < b.robot ? -1 : 1)));
  }

  whyNot(): string {
    return tellWhyNot(this.#groups.list());
  }

  countSpent(run: WaveRange): number {
    let count = 0;
    for (const one of this.#spent.values()) if (isOfWave(one, run)) count += 1;
    return count;
  }
}

const byRobot = ([a]: readonly [RobotId, unknown], [b]: readonly [RobotId, unknown]): number =>
  a < b ? -1 : 1;

/** Equal for two announcements that say the same about a rollout. */
export function rulesText({ rollout }: IndexFacts['plan']): string {
  // Their bytes decide over no membership, and are many.
  const { manifest, signature: _signature, cosignatures: _co, artifacts: _all, ...rules } = rollout;
  return JSON.stringify({ ...rules, manifest: releaseOf(manifest) });
}
