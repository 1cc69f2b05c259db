/**
 * Lists, for a rollout that is going back, the robots that have not obeyed yet, and those of them
 * that cannot before a person fixes them. The latter delay nothing that another robot can still do,
 * and are named. Sans-I/O.
 */

import { countOf } from '../../shared/base/printable.ts';
import type { ComponentState } from '../../shared/formats/messages.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { noWayBackOf } from '../../shared/rules/standstill.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import type { RobotRecord } from '../control/fleet.ts';
import type { RobotSource } from './rollout-index.ts';
import { tookIt } from './classify.ts';
import type { RolloutRun } from './record.ts';
import type { RolloutStep } from './steps.ts';

export interface Recall {
  /** Robots that run the version because of this rollout, or are about to. */
  readonly left: number;
  /** Those of them that cannot go back, each with its code. */
  readonly unable: readonly string[];
}

/** Of a rollout that calls no robot back. */
export const OBEYED: Recall = { left: 0, unable: [] };

/** A robot that has not gone back yet, and why it cannot; a null code for one that can. */
interface Left {
  readonly robot: RobotId;
  readonly code: string | null;
}

/** Null for a robot that the recall does not mean, or that has obeyed. */
function leftOf(run: Recalled, record: RobotRecord): Left | null {
  const component = record.state?.components.find((one) => one.name === run.component);
  if (!component || !hasToGoBack(run, component)) return null;
  return { robot: record.robot, code: noWayBackOf(component, run.version) };
}

type Recalled = Pick<RolloutRun, 'component' | 'rollout' | 'version'>;

/** @param left in the order of the robots */
function recallAmong(left: readonly Left[]): Recall {
  const unable = left.flatMap(({ robot, code }) => (code === null ? [] : [`${robot} ${code}`]));
  return { left: left.length, unable };
}

export function recallOf(run: RolloutRun, robots: readonly RobotRecord[]): Recall {
  return run.recall ? recallAmong(robots.flatMap((one) => leftOf(run, one) ?? [])) : OBEYED;
}

/** The same, kept up to date by the robots that changed. */
export class RecallIndex {
  readonly #robots: RobotSource;
  readonly #changed = new Set<RobotId>();
  readonly #left = new Map<RobotId, Left>();
  #recall: Recall = OBEYED;
  #of = '';

  constructor(robots: RobotSource) {
    this.#robots = robots;
  }

  note(robot: RobotId): void {
    this.#changed.add(robot);
  }

  recallOf(run: RolloutRun): Recall {
    if (!run.recall) return OBEYED;
    const of = `${run.component} ${run.version}`;
    if (of !== this.#of) {
      this.#left.clear();
      for (const robot of this.#robots.ids()) this.note(robot);
      this.#of = of;
    }
    if (this.#changed.size === 0) return this.#recall;
    for (const robot of this.#changed) {
      const record = this.#robots.get(robot);
      const left = record ? leftOf(run, record) : null;
      if (left) this.#left.set(robot, left);
      else this.#left.delete(robot);
    }
    this.#changed.clear();
    const left = [...this.#left.values()].sort((a, b) => (a.robot < b.robot ? -1 : 1));
    this.#recall = recallAmong(left);
    return this.#recall;
  }
}

/** It runs the version because of this rollout, or is about to. */
export const hasToGoBack = (
  { rollout, version }: Pick<RolloutRun, 'rollout' | 'version'>,
  component: ComponentState,
): boolean =>
  (component.rollout === rollout && component.phase !== 'idle') ||
  tookIt(component, rollout, version);

export function lookBack(run: RolloutRun, { left, unable }: Recall): RolloutStep {
  if (run.status !== 'rolling_back') return { run, audit: [], isNews: false };
  if (left === 0) {
    const text = 'every robot that is known to have taken it is back on what it ran before';
    const halted: RolloutRun = { ...run, status: 'halted', waitsFor: null };
    return { run: halted, audit: [entry('rolled_back', text)], isNews: true };
  }
  const waitsFor = unable.length === left ? 'unable' : 'recall';
  if (waitsFor === run.waitsFor) return { run, audit: [], isNews: false };
  const named = unable.slice(0, LIMITS.examplesMax).join(', ');
  const more = unable.length > LIMITS.examplesMax ? ', …' : '';
  const text = `it waits only for ${countOf(left, 'robot')} that cannot go back: ${named}${more}`;
  const audit = waitsFor === 'unable' ? [entry('held', text)] : [];
  return { run: { ...run, waitsFor }, audit, isNews: false };
}

const entry = (kind: 'rolled_back' | 'held', text: string): RolloutStep['audit'][number] => ({
  ...{ kind, text, by: 'controller', evidence: [] },
});
