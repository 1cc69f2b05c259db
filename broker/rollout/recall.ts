/**
 * Lists, for a rollout that is going back, the robots that have not obeyed yet, and those of them
 * that cannot before a person fixes them. The latter delay nothing that another robot can still do,
 * and are named. Sans-I/O.
 */

import type { ComponentState } from '../../shared/formats/messages.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { noWayBackOf } from '../../shared/rules/standstill.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { tookIt } from './classify.ts';
import type { RolloutRun } from './record.ts';
import type { RolloutStep } from './transitions.ts';

export interface Recall {
  /** Robots that run the version because of this rollout, or are about to. */
  readonly left: number;
  /** Those of them that cannot go back, each with its code. */
  readonly unable: readonly string[];
}

const OBEYED: Recall = { left: 0, unable: [] };

export function recallOf(run: RolloutRun, robots: readonly RobotRecord[]): Recall {
  if (!run.recall) return OBEYED;
  const { component: name, version } = run;
  const left = robots.flatMap(({ robot, state }) => {
    const component = state?.components.find((one) => one.name === name);
    return component && hasToGoBack(run, component)
      ? [{ robot, code: noWayBackOf(component, version) }]
      : [];
  });
  const unable = left.flatMap(({ robot, code }) => (code === null ? [] : [`${robot} ${code}`]));
  return { left: left.length, unable };
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
    const text = 'every robot that took it is back on what it ran before';
    const halted: RolloutRun = { ...run, status: 'halted', waitsFor: null };
    return { run: halted, audit: [entry('rolled_back', text)], isNews: true };
  }
  const waitsFor = unable.length === left ? 'unable' : 'recall';
  if (waitsFor === run.waitsFor) return { run, audit: [], isNews: false };
  const named = unable.slice(0, LIMITS.examplesMax).join(', ');
  const more = unable.length > LIMITS.examplesMax ? ', …' : '';
  const text = `it waits only for ${left} robots that cannot go back: ${named}${more}`;
  const audit = waitsFor === 'unable' ? [entry('held', text)] : [];
  return { run: { ...run, waitsFor }, audit, isNews: false };
}

const entry = (kind: 'rolled_back' | 'held', text: string): RolloutStep['audit'][number] => ({
  ...{ kind, text, by: 'controller', evidence: [] },
});
