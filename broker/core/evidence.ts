/**
 * Gathers what robots report into the evidence of one wave. Pure.
 *
 * Reports are pooled into batches of `batch_s` before a test sees them: a robot that crashes reports
 * at once, so the report that carries a crash covers a short time, and taken alone it would weigh
 * far too much. Reports are not signed and can be absurd: what one report of one robot can add is
 * clamped, and a negative or unreadable number adds nothing.
 */

import type { Gates } from '../../shared/gates.ts';
import type { EpochMs } from '../../shared/ids.ts';
import { LIMITS } from '../../shared/limits.ts';
import type { GroupTotals, Increment, WaveEvidence } from './gate-types.ts';
import { addToRatioLogs, startRatioLogs } from './sequential-test.ts';

const NOTHING: GroupTotals = {
  hours: 0,
  crashes: 0,
  tasks_completed: 0,
  tasks_failed: 0,
  robots_crashed: 0,
  robots_failing: 0,
};

export const emptyGroup = (): GroupTotals => NOTHING;

export const emptyEvidence = (): WaveEvidence => ({
  treated: NOTHING,
  control: NOTHING,
  pending: { treated: NOTHING, control: NOTHING, sinceMs: 0 },
  batches: 0,
  crash_logs: startRatioLogs(),
  task_logs: startRatioLogs(),
});

/** The same object when there is nothing to add. */
export function addIncrements(
  evidence: WaveEvidence,
  increments: readonly Increment[],
  { gates, now }: { readonly gates: Gates; readonly now: EpochMs },
): WaveEvidence {
  const isOpen = evidence.pending.sinceMs > 0;
  if (increments.length === 0 && !isOpen) return evidence;
  const of = (group: Increment['group']): readonly Increment[] =>
    increments.filter((one) => one.group === group);
  const [treated, control] = [of('treated'), of('control')];
  const { pending } = evidence;
  const next: WaveEvidence = {
    ...evidence,
    treated: treated.reduce(add, evidence.treated),
    control: control.reduce(add, evidence.control),
    pending: {
      treated: treated.reduce(add, pending.treated),
      control: control.reduce(add, pending.control),
      sinceMs: isOpen ? pending.sinceMs : now,
    },
  };
  const isDue = isOpen && now - pending.sinceMs >= gates.batch_s * 1000;
  if (isDue) return close(next, gates.ratio_tolerated, now);
  return increments.length === 0 ? evidence : next;
}

/**
 * Hands a whole batch to the tests. One that lacks a group waits for more, or what the other group
 * did would count for nothing; in a wave without a control group there is nothing to wait for.
 * Crashes are counted by hours and failures by tasks, and a robot may report one without the other:
 * each test has a batch of its own to wait for.
 */
function close(evidence: WaveEvidence, tolerated: number, now: EpochMs): WaveEvidence {
  const { treated, control } = evidence.pending;
  const hasHours = isWhole(treated.hours, control.hours, evidence.control.hours);
  const hasTasks = isWhole(tasksOf(treated), tasksOf(control), tasksOf(evidence.control));
  if (!hasHours && !hasTasks) return evidence;
  const rest = (group: GroupTotals): GroupTotals => ({
    ...group,
    ...(hasHours && { hours: 0, crashes: 0, robots_crashed: 0 }),
    ...(hasTasks && { tasks_completed: 0, tasks_failed: 0, robots_failing: 0 }),
  });
  const left = { treated: rest(treated), control: rest(control) };
  return {
    ...evidence,
    pending: { ...left, sinceMs: isNothing(left.treated) && isNothing(left.control) ? 0 : now },
    batches: evidence.batches + 1,
    ...(hasHours && {
      crash_logs: addToRatioLogs(evidence.crash_logs, crashesOf(evidence), tolerated),
    }),
    ...(hasTasks && {
      task_logs: addToRatioLogs(evidence.task_logs, failuresOf(evidence), tolerated),
    }),
  };
}

/** @param ever what the control group has reported since the wave opened */
const isWhole = (treated: number, control: number, ever: number): boolean =>
  treated > 0 && (control > 0 || ever <= 0);

const isNothing = (group: GroupTotals): boolean =>
  group.hours + group.crashes + tasksOf(group) === 0;

const crashesOf = ({ pending: { treated, control } }: WaveEvidence) => ({
  events1: treated.crashes,
  exposure1: treated.hours,
  events0: control.crashes,
  exposure0: control.hours,
});

const failuresOf = ({ pending: { treated, control } }: WaveEvidence) => ({
  events1: treated.tasks_failed,
  exposure1: tasksOf(treated),
  events0: control.tasks_failed,
  exposure0: tasksOf(control),
});

/** Adds what the old version has done; robots do not count one by one there. */
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
    robots_crashed: sum.robots_crashed + (one.firstCrash ? 1 : 0),
    robots_failing: sum.robots_failing + (one.firstFailure ? 1 : 0),
  };
}

/** Less than a millionth is nothing: a rate over next to no time would be no number. */
const clamp = (value: number, max: number): number => (value > 1e-6 ? Math.min(value, max) : 0);
