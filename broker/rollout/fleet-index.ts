/**
 * The indexes of all rollouts of a controller: it tells them which robots changed, brings them up
 * to date in slices so that the broker speaks MQTT meanwhile, and compares them with the full
 * computation: some robots at each pass, everything where a trace or a test asks for it. An index
 * that is wrong is logged with a code and made again; the full computation decides then.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { isTracing, traced } from '../../shared/io/trace.ts';
import type { Fleet } from '../control/fleet.ts';
import { membersOf } from './classify.ts';
import type { CounterMark, Observation } from './counters.ts';
import { listMembers, type Members } from './members.ts';
import { OBEYED, RecallIndex, recallOf, type Recall } from './recall.ts';
import { decide, reconcile, saysMore, type Reconciled } from './reconcile.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';
import { RolloutIndex, type IndexFacts } from './rollout-index.ts';

export interface FleetIndexOptions {
  readonly fleet: Fleet;
  readonly log: Log;
  /** Makes every pass twice, by the index and in full, and calls this where they differ. */
  readonly onDifference?: (text: string) => void;
}

type Marks = ReadonlyMap<RobotId, CounterMark>;

/** Facts of one pass over a rollout. */
export interface PassFacts extends IndexFacts {
  readonly run: RolloutRun;
  readonly plan: RolloutPlan;
}

/** A round over all robots in which an index is compared with their records. */
interface Round {
  readonly robots: readonly RobotId[];
  at: number;
}

interface Kept {
  readonly index: RolloutIndex;
  readonly marks: Marks;
  round: Round;
}

export class FleetIndex {
  readonly #options: FleetIndexOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #recalls = new Map<string, RecallIndex>();
  readonly #unwatch: () => void;

  constructor(options: FleetIndexOptions) {
    this.#options = options;
    this.#unwatch = options.fleet.watch((robot) => {
      for (const { index } of this.#kept.values()) index.note(robot);
      for (const recall of this.#recalls.values()) recall.note(robot);
    });
  }

  close(): void {
    this.#unwatch();
    this.clear();
  }

  /** It leads no rollouts for now. */
  clear(): void {
    this.#kept.clear();
    this.#recalls.clear();
  }

  /** No gate watches the rollout. */
  dropMembers(rollout: string): void {
    this.#kept.delete(rollout);
  }

  /** The rollout is forgotten, or begins again without its marks. */
  drop(rollout: string): void {
    this.dropMembers(rollout);
    this.#recalls.delete(rollout);
  }

  /**
   * Takes all but a few changes into account, a slice at a time. The event loop runs after each,
   * also after the last: the next rollout is another turn.
   * @param read called again for each slice: announcements arrive meanwhile; null ends it
   */
  async catchUp(rollout: string, marks: Marks, read: () => IndexFacts | null): Promise<void> {
    for (let facts = read(); facts; facts = read()) {
      const isWhole = this.#of(rollout, marks).index.update(facts, LIMITS.indexSliceRobots);
      await nextTurn();
      if (isWhole) return;
    }
  }

  /** Members of a rollout before its first wave, without what was counted under other keys. */
  members(facts: IndexFacts, marks: Marks): Members {
    if (marks.size > 0) {
      const { plan, plans, now, watchedSinceMs } = facts;
      const robots = this.#options.fleet.robots();
      return listMembers(membersOf({ plan, plans, now, watchedSinceMs, robots }), plan.rollout);
    }
    const { index } = this.#of(facts.plan.rollout.id, marks);
    index.update(facts, Infinity);
    return index;
  }

  reconcile(facts: PassFacts, marks: Marks): Reconciled {
    const { run, plan } = facts;
    const kept = this.#of(run.rollout, marks);
    kept.index.update(facts, Infinity);
    const wrong = this.#findWrong(kept);
    if (wrong !== null) return this.#afterDifference(facts, marks, wrong);
    const found = decide(facts, kept.index, kept.index.observation());
    if (!isTracing && !this.#options.onDifference) return found;
    const full = this.#inFull(facts, marks);
    if (isDeepStrictEqual(full, found)) return found;
    const text = `${plan.rollout.id}: ${JSON.stringify(found)} is ${JSON.stringify(full)} in full`;
    return this.#afterDifference(facts, marks, text);
  }

  /** Counts of some robots that were not saved; null when there are at most `max` of them. */
  someObserved(rollout: string, max: number): Observation | null {
    return this.#kept.get(rollout)?.index.someObserved(max) ?? null;
  }

  /** Called when these were saved, before they replace the marks. */
  kept(rollout: string, saved: Marks): void {
    this.#kept.get(rollout)?.index.kept(saved);
  }

  recallOf(run: RolloutRun): Recall {
    if (!run.recall) return OBEYED;
    const known = this.#recalls.get(run.rollout) ?? new RecallIndex(this.#options.fleet);
    this.#recalls.set(run.rollout, known);
    const recall = known.recallOf(run);
    const { fleet, onDifference } = this.#options;
    if (onDifference && !isDeepStrictEqual(recall, recallOf(run, fleet.robots()))) {
      onDifference(`${run.rollout}: the recall`);
    }
    return recall;
  }

  #of(rollout: string, marks: Marks): Kept {
    const known = this.#kept.get(rollout);
    if (known?.marks === marks) return known;
    const index = new RolloutIndex(this.#options.fleet, marks);
    const made = { index, marks, round: this.#newRound() };
    this.#kept.set(rollout, made);
    return made;
  }

  #newRound(): Round {
    return { robots: this.#options.fleet.ids(), at: 0 };
  }

  /** Compares some robots with the index; after the last one its counts. */
  #findWrong(kept: Kept): string | null {
    const { index, round } = kept;
    const end = round.at + LIMITS.indexCheckedRobots;
    const wrong = index.findWrong(round.robots.slice(round.at, end));
    if (wrong !== null) return `robot ${wrong}`;
    round.at = end;
    if (end < round.robots.length) return null;
    kept.round = this.#newRound();
    return index.isWhole() ? null : 'its counts';
  }

  #inFull(facts: PassFacts, marks: Marks): Reconciled {
    const { run, plan, plans, now, watchedSinceMs } = facts;
    const robots = this.#options.fleet.robots();
    const input = { run, plan, marks, plans, watchedSinceMs, robots, now };
    return traced('look', reconcile, [input], saysMore);
  }

  #afterDifference(facts: PassFacts, marks: Marks, found: string): Reconciled {
    const { log, onDifference } = this.#options;
    const code = 'EVIDENCE_DIFFERS';
    const { rollout } = facts.run;
    log.error(
      {
        rollout,
        code,
        found: found.slice(0, LIMITS.differenceCharsMax),
        hint: CATALOGUE[code].hint,
      },
      'kept counts of a rollout are wrong, counting again',
    );
    onDifference?.(found);
    this.drop(rollout);
    return this.#inFull(facts, marks);
  }
}
