/**
 * Gathers what robots report into the evidence of one wave.
 *
 * Reports are pooled into batches of `batch_s` before a test sees them: a robot that crashes reports
 * at once, so the report that carries a crash covers a short time, and taken alone it would weigh
 * far too much. Reports are not signed and can be absurd: what one report of one robot can add is
 * clamped, and a negative or unreadable number adds nothing.
 * Sans-I/O.
 */

import type { Gates } from '../../shared/formats/gates.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Attempts, GroupTotals, Increment, WaveEvidence } from './gate-types.ts';
import { gatheredByMs } from './gate-times.ts';
import { addToRatioLogs, startRatioLogs } from './sequential-test.ts';

const NOTHING: GroupTotals = {
  hours: 0,
  crashes: 0,
  tasks_completed: 0,
  tasks_failed: 0,
  robots: 0,
  robots_crashed: 0,
  robots_failing: 0,
};

export const emptyGroup = (): GroupTotals => NOTHING;

export const emptyEvidence = (): WaveEvidence => ({
  treated: NOTHING,
  control: NOTHING,
  pending: { treated: NOTHING, control: NOTHING, sinceMs: 0, tasksSinceMs: 0 },
  crash_logs: startRatioLogs(),
  task_logs: startRatioLogs(),
});

/** @returns the same object when there is nothing to add */
export function addIncrements(
  evidence: WaveEvidence,
  increments: readonly Increment[],
  { gates, now }: { readonly gates: Gates; readonly now: EpochMs },
): WaveEvidence {
  const gathered = gatherIncrements(evidence, increments, now);
  const { sinceMs, tasksSinceMs } = evidence.pending;
  const isDue = (since: number): boolean => since > 0 && now - since >= gates.batch_s * 1000;
  const tolerated = gates.ratio_tolerated;
  const counted = isDue(sinceMs) ? closeHours(gathered, tolerated) : gathered;
  return isDue(tasksSinceMs) ? closeTasks(counted, tolerated) : counted;
}

/**
 * Adds to the open batch and closes none. The new version starts the clock of a batch. If the old
 * one could, the first crash of the new one would often be a batch by itself.
 */
export function gatherIncrements(
  evidence: WaveEvidence,
  increments: readonly Increment[],
  now: EpochMs,
): WaveEvidence {
  if (increments.length === 0) return evidence;
  const of = (group: Increment['group']): readonly Increment[] =>
    increments.filter((one) => one.group === group);
  const [news, olds] = [of('treated'), of('control')];
  const treated = news.reduce(add, evidence.pending.treated);
  const control = olds.reduce(add, evidence.pending.control);
  const { sinceMs, tasksSinceMs } = evidence.pending;
  const since = (before: number, isAny: boolean): number => (before > 0 || !isAny ? before : now);
  return {
    ...evidence,
    treated: news.reduce(add, evidence.treated),
    control: olds.reduce(add, evidence.control),
    pending: {
      treated,
      control,
      sinceMs: since(sinceMs, treated.hours + treated.crashes > 0),
      tasksSinceMs: since(tasksSinceMs, tasksOf(treated) > 0),
    },
  };
}

/**
 * Gives a complete batch of hours and crashes to their test. A batch that lacks one group waits, or
 * what the other group did would count for nothing; in a wave without a control group there is
 * nothing to wait for. Tasks have their own batch and clock: a robot may report one without the
 * other, and a robot that reports no hours must not keep failed tasks from being compared.
 */
function closeHours(evidence: WaveEvidence, tolerated: number): WaveEvidence {
  const { treated, control } = evidence.pending;
  if (!isWhole(treated.hours, control.hours, evidence.control.hours)) return evidence;
  const none = { hours: 0, crashes: 0, robots_crashed: 0 };
  const batch = {
    events1: treated.crashes,
    exposure1: treated.hours,
    events0: control.crashes,
    exposure0: control.hours,
  };
  return {
    ...without(evidence, none, { sinceMs: 0 }),
    crash_logs: addToRatioLogs(evidence.crash_logs, batch, tolerated),
  };
}

function closeTasks(evidence: WaveEvidence, tolerated: number): WaveEvidence {
  const { treated, control } = evidence.pending;
  if (!isWhole(tasksOf(treated), tasksOf(control), tasksOf(evidence.control))) return evidence;
  const none = { tasks_completed: 0, tasks_failed: 0, robots_failing: 0 };
  const batch = {
    events1: treated.tasks_failed,
    exposure1: tasksOf(treated),
    events0: control.tasks_failed,
    exposure0: tasksOf(control),
  };
  return {
    ...without(evidence, none, { tasksSinceMs: 0 }),
    task_logs: addToRatioLogs(evidence.task_logs, batch, tolerated),
  };
}

function without(
  evidence: WaveEvidence,
  none: Partial<GroupTotals>,
  clock: Partial<WaveEvidence['pending']>,
): WaveEvidence {
  const { pending } = evidence;
  const treated = { ...pending.treated, ...none };
  const control = { ...pending.control, ...none };
  return { ...evidence, pending: { ...pending, ...clock, treated, control } };
}

/** @param ever total of the control group since the wave opened */
const isWhole = (treated: number, control: number, ever: number): boolean =>
  treated > 0 && (control > 0 || ever <= 0);

/**
 * True while something of the new version has not been in any batch. It ends after two batches at
 * the latest: then the other group is silent, and history takes its place (gate-bounds.ts).
 */
export function isGathering(
  { treated, pending }: WaveEvidence,
  { gates, now }: { readonly gates: Gates; readonly now: EpochMs },
): boolean {
  const isNew = (total: number, waiting: number, since: number): boolean =>
    total > 0 && waiting === total && now < gatheredByMs(since, gates);
  const isHours = isNew(treated.hours, pending.treated.hours, pending.sinceMs);
  return isHours || isNew(tasksOf(treated), tasksOf(pending.treated), pending.tasksSinceMs);
}

/**
 * True when no other robot could show the harm: neither another robot of this wave, nor one of an
 * earlier wave, whose reports are counted as well. A failed update is no other robot.
 */
export const isAlone = ({ treated }: WaveEvidence, attempts: Attempts): boolean =>
  treated.robots <= 1 && attempts.installed <= 1;

/** Adds work of the old version, without counting robots one by one. */
export function addHistory(sum: GroupTotals, more: readonly PastTotals[]): GroupTotals {
  const total = (part: keyof PastTotals): number =>
    more.reduce((all, one) => all + clamp(one[part], LIMITS.countedPastMax), 0);
  return {
    ...sum,
    hours: sum.hours + total('hours'),
    crashes: sum.crashes + total('crashes'),
    tasks_completed: sum.tasks_completed + total('tasksCompleted'),
    tasks_failed: sum.tasks_failed + total('tasksFailed'),
  };
}

export type PastTotals = Pick<Increment, 'hours' | 'crashes' | 'tasksCompleted' | 'tasksFailed'>;

export const tasksOf = (group: GroupTotals): number => group.tasks_completed + group.tasks_failed;

function add(sum: GroupTotals, one: Increment): GroupTotals {
  return {
    hours: sum.hours + clamp(one.hours, LIMITS.countedHoursMax),
    crashes: sum.crashes + clamp(one.crashes, LIMITS.countedCrashesMax),
    tasks_completed: sum.tasks_completed + clamp(one.tasksCompleted, LIMITS.countedTasksMax),
    tasks_failed: sum.tasks_failed + clamp(one.tasksFailed, LIMITS.countedTasksMax),
    robots: sum.robots + (one.firstReport ? 1 : 0),
    robots_crashed: sum.robots_crashed + (one.firstCrash ? 1 : 0),
    robots_failing: sum.robots_failing + (one.firstFailure ? 1 : 0),
  };
}

/** Less than a millionth is nothing: a rate over almost no time would be no number. */
const clamp = (value: number, max: number): number => (value > 1e-6 ? Math.min(value, max) : 0);
