/**
 * Tests against the fixed bounds of a gate: how many updates must succeed, and how often the new
 * version may crash or fail at its tasks, whatever the old one does. The success of updates has no
 * control group: no other robot is updating. Sans-I/O.
 */

import { countOf } from '../../shared/base/printable.ts';
import { isAlone, tasksOf } from './evidence.ts';
import { gatheredByMs } from './gate-times.ts';
import type { Attempts, GateInput, MetricEvidence } from './gate-types.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { rateEValue, shareEValue } from './sequential-test.ts';

export function applySuccess({ gates, attempts }: GateInput, eHalt: number): MetricEvidence {
  const { installed, reachable, cohort } = attempts;
  const failed = attempts.failed + attempts.vanished;
  const ended = installed + failed;
  const bound = gates.apply_success_min;
  const eValue = shareEValue(failed, ended, 1 - bound);
  const base = {
    metric: 'apply',
    against: 'bound',
    treated: ended > 0 ? installed / ended : null,
    reference: bound,
    e_value: eValue,
    e_halt: eHalt,
    missing: 0,
    missing_unit: null,
  } as const;
  const away = attempts.vanished > 0 ? `, ${attempts.vanished} of them vanished during it` : '';
  const who = attempts.examples.length > 0 ? ` (${attempts.examples.join(', ')})` : '';
  const told = `${installed} of ${ended} updates succeeded${away}`;
  // All reachable robots have ended: a share below the bound now stays below it. One failure among
  // several is chance; a wave in which nothing succeeded is not.
  const isLow = installed < bound * ended && failed >= 2;
  const isSettled = ended >= reachable && ended > 0;
  const isProven = hasSucceeded(attempts);
  if (eValue >= eHalt || (isSettled && (isLow || !isProven))) {
    const none = isProven ? '' : newcomersText(attempts);
    const text = `${told}${none}, ${percent(bound)} must${failed > 0 ? `; failed: ${failed}${who}` : ''}`;
    return { ...base, verdict: 'halt', text };
  }
  const wanted = Math.max(1, Math.ceil(gates.report_share_min * reachable));
  if (ended >= wanted && isProven) return { ...base, verdict: 'pass', text: told };
  if (ended >= wanted) {
    const left = countOf(reachable - ended, 'robot has', 'robots have');
    const text = `${told}${newcomersText(attempts)}: one must before the wave passes; ${left} not ended`;
    return { ...base, verdict: 'hold', missing: 1, missing_unit: 'robots', text };
  }
  const missing = wanted - ended;
  const robots = countOf(missing, 'more is needed', 'more are needed');
  const offline = cohort - reachable > 0 ? `; ${cohort - reachable} are away` : '';
  const { unable } = attempts;
  const broken = unable.length > 0 ? `; cannot take it: ${unable.join(', ')}` : '';
  const text = `${ended} of ${reachable} robots have ended their update, ${robots}${offline}${broken}`;
  return { ...base, verdict: 'hold', missing, missing_unit: 'robots', text };
}

/**
 * At least one update must have succeeded before a wave passes, whatever the bounds are: also one
 * of 0, and also while a robot is away in the middle of its update. A robot of an earlier wave that
 * ended only now proves nothing about the robots that this wave let in, if any of these can answer.
 */
const hasSucceeded = ({ installed, newcomers }: Attempts): boolean =>
  installed > 0 && (newcomers.installed > 0 || newcomers.reachable === 0);

/** For a wave in which only robots of earlier waves succeeded. */
const newcomersText = ({ installed }: Attempts): string =>
  installed > 0 ? ', none on the robots that this wave let in' : '';

/** No evidence where no bound is set. */
export function crashBound({ gates, evidence }: GateInput, eHalt: number): MetricEvidence[] {
  const bound = gates.crashes_per_hour_max;
  if (bound === null) return [];
  const { crashes, hours } = evidence.treated;
  const eValue = rateEValue(crashes, hours, bound);
  const rate = hours > 0 ? crashes / hours : null;
  const told = `${crashes} crashes in ${Math.round(hours * 100) / 100} robot-hours, ${bound} an hour allowed`;
  const amount = LIMITS.judgedHoursMin - hours;
  const missing = amount > 0 ? ({ amount, unit: 'robot_hours' } as const) : null;
  return [boundLine({ metric: 'crash', rate, bound, eValue, eHalt, told, missing })];
}

/** No evidence where no bound is set. */
export function taskBound({ gates, evidence }: GateInput, eHalt: number): MetricEvidence[] {
  const bound = gates.task_success_min;
  if (bound === null) return [];
  const tasks = tasksOf(evidence.treated);
  const { tasks_failed: failed } = evidence.treated;
  const eValue = shareEValue(failed, tasks, 1 - bound);
  const rate = tasks > 0 ? 1 - failed / tasks : null;
  const told = `${tasks - failed} of ${tasks} tasks completed, ${percent(bound)} must`;
  const missing = tasks > 0 ? null : ({ amount: 1, unit: 'tasks' } as const);
  return [boundLine({ metric: 'task', rate, bound, eValue, eHalt, told, missing })];
}

/**
 * Where no robot of the old version reports (a fleet of one, the last wave, an absent control
 * group) the history of the old version takes its place: weaker, since times differ, and far better
 * than nothing. One event more than it had is assumed, so that a clean history is no bound of zero.
 */
export function againstHistory(input: GateInput, eHalt: number): MetricEvidence[] {
  const { evidence, history, gates, now } = input;
  const { control, pending, treated } = evidence;
  // A group that reported before and is silent now for two batches is missing as well.
  const isMissing = (ever: number, lately: number, since: number): boolean =>
    ever <= 0 || (lately <= 0 && since > 0 && now >= gatheredByMs(since, gates));
  const isOnly = isAlone(evidence, input.attempts);
  const lines: MetricEvidence[] = [];
  const noHours = isMissing(control.hours, pending.control.hours, pending.sinceMs);
  if (noHours && treated.hours > 0 && history.hours > 0) {
    const bound = ((history.crashes + 1) / history.hours) * gates.ratio_tolerated;
    const eValue = rateEValue(treated.crashes, treated.hours, bound);
    const rate = treated.crashes / treated.hours;
    const told = `${treated.crashes} crashes in ${hours(treated.hours)} robot-hours, ${history.crashes} in ${hours(history.hours)} before`;
    const isHarm = isOnly || treated.robots_crashed >= 2;
    const isShort = treated.hours < LIMITS.judgedHoursMin;
    lines.push(historyLine({ metric: 'crash', rate, bound, eValue, eHalt, told, isHarm, isShort }));
  }
  const [tasks, before] = [tasksOf(treated), tasksOf(history)];
  const noTasks = isMissing(tasksOf(control), tasksOf(pending.control), pending.tasksSinceMs);
  if (noTasks && before > 0 && tasks > 0) {
    const bound = Math.min(1, ((history.tasks_failed + 1) / before) * gates.ratio_tolerated);
    const eValue = shareEValue(treated.tasks_failed, tasks, bound);
    const rate = treated.tasks_failed / tasks;
    const told = `${treated.tasks_failed} of ${tasks} tasks failed, ${history.tasks_failed} of ${before} before`;
    const isHarm = isOnly || treated.robots_failing >= 2;
    lines.push(historyLine({ metric: 'task', rate, bound, eValue, eHalt, told, isHarm }));
  }
  return lines;
}

interface Line {
  readonly metric: 'crash' | 'task';
  readonly rate: number | null;
  readonly bound: number;
  readonly eValue: number;
  readonly eHalt: number;
  readonly told: string;
  /** Reports that are missing before the bound can be judged; null when there are enough. */
  readonly missing?: { readonly amount: number; readonly unit: 'robot_hours' | 'tasks' } | null;
}

/**
 * @param line.isHarm more than one sick robot, or the only one there is
 * @param line.isShort too little was reported to judge by
 */
function historyLine(input: Line & { isHarm: boolean; isShort?: boolean }): MetricEvidence {
  const { isHarm, isShort = false, ...line } = input;
  const eValue = isHarm ? line.eValue : Math.min(line.eValue, line.eHalt / 2);
  const found = { ...boundLine({ ...line, eValue }), against: 'history' } as const;
  if (!isShort || found.verdict === 'halt') return found;
  return { ...found, verdict: 'none', text: `${found.text}: too short a time to judge by` };
}

/** A bound without reports holds: no evidence is not a pass. */
function boundLine(input: Line): MetricEvidence {
  const isHalt = input.eValue >= input.eHalt;
  const missing = isHalt ? null : (input.missing ?? null);
  const judged = isHalt ? 'halt' : 'pass';
  const yet = input.rate === null ? 'nothing has been reported yet' : 'too little to judge by yet';
  return {
    metric: input.metric,
    against: 'bound',
    verdict: missing ? 'hold' : judged,
    // null also says that the end of this wait is unknown
    treated: missing ? null : input.rate,
    reference: input.bound,
    e_value: input.eValue,
    e_halt: input.eHalt,
    missing: missing?.amount ?? 0,
    missing_unit: missing?.unit ?? null,
    text: missing ? `${input.told}: ${yet}` : input.told,
  };
}

const hours = (value: number): string => String(Math.round(value * 100) / 100);
const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`;
