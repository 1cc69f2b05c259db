/**
 * The fixed bounds of a gate: how many updates must succeed, how often the new version may crash or
 * fail at its tasks, whatever the old one does. Pure. The success of updates has no control group:
 * nobody else is updating.
 */

import { tasksOf } from './evidence.ts';
import type { GateInput } from './gate.ts';
import type { MetricEvidence } from './gate-types.ts';
import { rateEValue, shareEValue } from './sequential-test.ts';

export function againstBounds(input: GateInput, eHalt: number): MetricEvidence[] {
  return [applySuccess(input, eHalt), ...crashBound(input, eHalt), ...taskBound(input, eHalt)];
}

function applySuccess({ gates, attempts }: GateInput, eHalt: number): MetricEvidence {
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
  // All that can answer have ended: what is below the bound now stays below it. One failure among
  // several is chance; a wave in which nothing succeeded is not.
  const isLow = installed < bound * ended && failed >= 2;
  const isSettled = ended >= reachable && ended > 0;
  if (eValue >= eHalt || (isSettled && (isLow || installed === 0))) {
    const text = `${told}, ${percent(bound)} must${failed > 0 ? `; failed: ${failed}${who}` : ''}`;
    return { ...base, verdict: 'halt', text };
  }
  const wanted = Math.max(1, Math.ceil(gates.report_share_min * reachable));
  if (ended >= wanted) return { ...base, verdict: 'pass', text: told };
  const missing = wanted - ended;
  const robots = missing === 1 ? '1 more is needed' : `${missing} more are needed`;
  const offline = cohort - reachable > 0 ? `; ${cohort - reachable} are away` : '';
  const text = `${ended} of ${reachable} robots have ended their update, ${robots}${offline}`;
  return { ...base, verdict: 'hold', missing, missing_unit: 'robots', text };
}

function crashBound({ gates, evidence }: GateInput, eHalt: number): MetricEvidence[] {
  const bound = gates.crashes_per_hour_max;
  if (bound === null) return [];
  const { crashes, hours } = evidence.treated;
  const eValue = rateEValue(crashes, hours, bound);
  const rate = hours > 0 ? crashes / hours : null;
  const told = `${crashes} crashes in ${Math.round(hours * 100) / 100} robot-hours, ${bound} an hour allowed`;
  return [boundLine({ metric: 'crash', rate, bound, eValue, eHalt, told })];
}

function taskBound({ gates, evidence }: GateInput, eHalt: number): MetricEvidence[] {
  const bound = gates.task_success_min;
  if (bound === null) return [];
  const tasks = tasksOf(evidence.treated);
  const { tasks_failed: failed } = evidence.treated;
  const eValue = shareEValue(failed, tasks, 1 - bound);
  const rate = tasks > 0 ? 1 - failed / tasks : null;
  const told = `${tasks - failed} of ${tasks} tasks completed, ${percent(bound)} must`;
  return [boundLine({ metric: 'task', rate, bound, eValue, eHalt, told })];
}

function boundLine(input: {
  metric: 'crash' | 'task';
  rate: number | null;
  bound: number;
  eValue: number;
  eHalt: number;
  told: string;
}): MetricEvidence {
  return {
    metric: input.metric,
    against: 'bound',
    verdict: input.eValue >= input.eHalt ? 'halt' : 'pass',
    treated: input.rate,
    reference: input.bound,
    e_value: input.eValue,
    e_halt: input.eHalt,
    missing: 0,
    missing_unit: null,
    text: input.told,
  };
}

const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`;
