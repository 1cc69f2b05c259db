/**
 * The gate: decides whether a wave passes, waits, or shows that the rollout must stop, with the
 * numbers that say so. It runs every few seconds, and each test stays valid under continuous checks
 * (sequential-test.ts). A halt never waits for the soak; a pass waits for everything. Sans-I/O.
 */

import { isAlone, isGathering, tasksOf } from './evidence.ts';
import type { GateInput, MetricEvidence, GateVerdict } from './gate-types.ts';
import { againstHistory, applySuccess, crashBound, taskBound } from './gate-bounds.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { evidenceWaitS, gatheringS } from './gate-times.ts';
import { eValueOf, wantedEvents } from './sequential-test.ts';

interface GateTest {
  /** How many tests `run` makes at most, under these gates. */
  readonly count: (gates: GateInput['gates']) => number;
  readonly run: (input: GateInput, eHalt: number) => readonly MetricEvidence[];
}

/** Every test of a gate, in the order in which its evidence is listed. */
const TESTS: readonly GateTest[] = [
  { count: () => 1, run: (input, eHalt) => [applySuccess(input, eHalt)] },
  { count: (gates) => (gates.crashes_per_hour_max === null ? 0 : 1), run: crashBound },
  { count: (gates) => (gates.task_success_min === null ? 0 : 1), run: taskBound },
  { count: () => 2, run: againstControl },
  { count: () => 2, run: againstHistory },
];

export function judge(input: GateInput): GateVerdict {
  const eHalt = haltAt(input);
  const evidence = TESTS.flatMap(({ run }) => run(input, eHalt));
  const halts = evidence.filter((one) => one.verdict === 'halt');
  if (halts.length > 0) return { kind: 'halt', reasons: halts.map((one) => one.text), evidence };
  const holds = evidence.filter((one) => one.verdict === 'hold').map((one) => one.text);
  const [first, ...others] = holds;
  // In the order of events: updates, then the soak, then its evidence.
  const isApply = evidence.some(({ metric, verdict }) => metric === 'apply' && verdict === 'hold');
  const reasons = isApply
    ? [first ?? '', ...soakReasons(input), ...others]
    : [...soakReasons(input), ...holds];
  if (reasons.length > 0) return { kind: 'hold', reasons, evidence };
  return { kind: 'pass', reasons: evidence.map((one) => one.text), evidence };
}

/** Each test of each stage gets an equal part of the false halts that are allowed overall. */
function haltAt({ gates, stages }: GateInput): number {
  const tests = TESTS.reduce((total, { count }) => total + count(gates), 0);
  return (tests * stages) / gates.false_halt_max;
}

function soakReasons({ soak, gates, evidence, now }: GateInput): string[] {
  if (soak.elapsedS === null) return ['the soak has not begun'];
  const leftS = soak.soakS - soak.elapsedS;
  const reasons = leftS > 0 ? [`${Math.ceil(leftS)} s of the soak are left`] : [];
  // Reports that are in no batch yet were not tested, however short the soak is.
  if (isGathering(evidence, { gates, now })) {
    const [least, most] = gatheringS(gates);
    reasons.push(`the first reports are gathered for ${least} s, at most ${most} s (batch_s)`);
  }
  return reasons;
}

interface Comparison {
  readonly metric: 'crash' | 'task';
  readonly unit: 'robot_hours' | 'tasks';
  readonly events: { readonly treated: number; readonly control: number };
  readonly exposure: { readonly treated: number; readonly control: number };
  readonly logs: readonly number[];
  /** Distinct robots of the new version with an event. */
  readonly robots: number;
}

function againstControl(input: GateInput, eHalt: number): MetricEvidence[] {
  const { treated, control, crash_logs, task_logs } = input.evidence;
  const crash: Comparison = {
    metric: 'crash',
    unit: 'robot_hours',
    events: { treated: treated.crashes, control: control.crashes },
    exposure: { treated: treated.hours, control: control.hours },
    logs: crash_logs,
    robots: treated.robots_crashed,
  };
  const task: Comparison = {
    metric: 'task',
    unit: 'tasks',
    events: { treated: treated.tasks_failed, control: control.tasks_failed },
    exposure: { treated: tasksOf(treated), control: tasksOf(control) },
    logs: task_logs,
    robots: treated.robots_failing,
  };
  return [crash, task].map((one) => compare(one, input, eHalt));
}

function compare(one: Comparison, input: GateInput, eHalt: number): MetricEvidence {
  const { events, exposure, metric } = one;
  const eValue = eValueOf(one.logs);
  const rate = (part: 'treated' | 'control'): number | null =>
    exposure[part] > 0 ? events[part] / exposure[part] : null;
  const base = {
    metric,
    against: 'control',
    treated: rate('treated'),
    reference: rate('control'),
    e_value: eValue,
    e_halt: eHalt,
    missing: 0,
    missing_unit: null,
  } as const;
  const told = tell(one);
  // One sick robot is not a bad version, unless it is the only one that could show the harm.
  if (eValue >= eHalt && (one.robots >= 2 || isAlone(input.evidence, input.attempts))) {
    const text = `${told}: worse than ${input.gates.ratio_tolerated} times the control group (evidence ${round(eValue)}, halts at ${round(eHalt)})`;
    return { ...base, verdict: 'halt', text };
  }
  const missing = missingExposure(one, input, eHalt);
  if (missing.amount <= 0) {
    const verdict = hasEvidence(one) ? 'pass' : 'none';
    return { ...base, verdict, text: `${told}: ${missing.why}` };
  }
  const unit = one.unit === 'tasks' ? 'tasks' : 'robot-hours';
  const text =
    exposure.treated <= 0
      ? `${told}: the new version has reported nothing yet`
      : `${told}: ${round(missing.amount)} ${unit} more would show a rate ${input.gates.ratio_detected} times the control's`;
  return { ...base, verdict: 'hold', missing: missing.amount, missing_unit: one.unit, text };
}

/** With one side silent, or almost silent, nothing was compared: that is no pass. */
function hasEvidence({ exposure, metric }: Comparison): boolean {
  const least = metric === 'crash' ? LIMITS.judgedHoursMin : 1;
  return exposure.treated >= least && exposure.control >= least;
}

/** How much more must be reported before a pass means something, and why when it is nothing. */
function missingExposure(
  one: Comparison,
  { gates, soak }: GateInput,
  eHalt: number,
): { amount: number; why: string } {
  const { metric, events, exposure } = one;
  const none = (why: string) => ({ amount: 0, why });
  const isLate = soak.elapsedS !== null && soak.elapsedS >= evidenceWaitS(gates, soak.soakS);
  if (exposure.treated <= 0) {
    // An application that reported before and reports nothing now is no good sign.
    return exposure.control > 0 && !(isLate && metric === 'crash')
      ? { amount: 1, why: '' }
      : none('nothing was reported by the new version');
  }
  if (exposure.control <= 0) return none('there is no control group to compare with');
  if (events.control + events.treated === 0) {
    return none(
      hasEvidence(one)
        ? 'neither had one: no wait would tell more'
        : 'neither had one, in too short a time to judge by',
    );
  }
  const odds = exposure.treated / exposure.control;
  const { ratio_tolerated: tolerated, ratio_detected: detected, miss_max: miss } = gates;
  const wanted =
    wantedEvents({ tolerated, detected, odds, eHalt, miss }) /
    (Math.max(events.control, 1) / exposure.control);
  if (exposure.treated >= wanted) return none('no regression, with evidence enough to see one');
  if (isLate) {
    const share = Math.floor((exposure.treated / wanted) * 100);
    return none(`no regression seen in ${share} % of the evidence that would show one for sure`);
  }
  return { amount: wanted - exposure.treated, why: '' };
}

function tell({ metric, events, exposure }: Comparison): string {
  const part = (group: 'treated' | 'control'): string =>
    metric === 'crash'
      ? `${events[group]} crashes in ${round(exposure[group])} robot-hours`
      : `${events[group]} of ${exposure[group]} tasks failed`;
  return `${part('treated')} on the new version, ${part('control')} on the old`;
}

const round = (value: number): string =>
  value >= 1e6 ? value.toExponential(1) : String(Math.round(value * 100) / 100);
