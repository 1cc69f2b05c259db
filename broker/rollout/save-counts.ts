/**
 * Saves what a rollout has counted. When many robots have reported at once, as at the first pass
 * over a rollout, the counts are saved in slices, so that the broker speaks MQTT meanwhile. Each
 * slice is one atomic write of the marks of its robots and of the sums that they went into: after a
 * crash between two slices each report is either in both or in neither, and is counted once. No
 * gate judges before the last slice, and a slice closes no batch of evidence.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { CounterMark, Observation } from './counters.ts';
import { addHistory, gatherIncrements } from './evidence.ts';
import type { PassFacts } from './fleet-index.ts';
import type { RolloutStep } from './steps.ts';

type Marks = ReadonlyMap<RobotId, CounterMark>;

export interface CountParts {
  readonly rollout: string;
  readonly index: {
    someObserved(rollout: string, max: number): Observation | null;
    kept(rollout: string, saved: Marks): void;
  };
  /** Of the controller; changed after each write. */
  readonly marks: Map<RobotId, CounterMark>;
  save(step: RolloutStep, marks: Marks): Promise<void>;
}

/** Only after the write: counts that a failed write lost must be counted again. */
export async function saveCounts(parts: CountParts, step: RolloutStep, saved: Marks) {
  const { rollout, index, marks } = parts;
  await parts.save(step, saved);
  index.kept(rollout, saved);
  for (const [robot, mark] of saved) marks.set(robot, mark);
}

/**
 * Saves counts until those that are left fit into one pass.
 * @param read called for each slice: announcements arrive meanwhile; null ends it
 */
export async function saveSlices(parts: CountParts, read: () => PassFacts | null): Promise<void> {
  const { rollout, index } = parts;
  for (let facts = read(); facts; facts = read()) {
    const some = index.someObserved(rollout, LIMITS.indexSliceRobots);
    if (!some) return;
    await saveCounts(parts, withCounts(facts, some), some.marks);
    await nextTurn();
  }
}

/** The record with these counts in its sums. */
export function withCounts(
  { run, now }: Pick<PassFacts, 'run' | 'now'>,
  { increments, history }: Pick<Observation, 'increments' | 'history'>,
): RolloutStep {
  const evidence = gatherIncrements(run.evidence, increments, now);
  const counted = { ...run, evidence, history: addHistory(run.history, history) };
  return { run: counted, audit: [], isNews: false };
}
