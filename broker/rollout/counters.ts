/**
 * Counts what robots report, as input of the gate. Robots report totals that only rise within a
 * stint. A mark records what was counted of each robot, so that a lost, repeated or late message
 * can neither add nor hide anything. Sans-I/O.
 */

import { z } from 'zod';
import type { RobotId } from '../../shared/base/ids.ts';
import type { Rollout } from '../../shared/formats/announcement.ts';
import { cohortFraction, hasTurn } from '../../shared/rules/rollout-rules.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { UsageReport } from '../../shared/formats/messages.ts';
import type { PastTotals } from './evidence.ts';
import type { Attempts, Increment } from './gate-types.ts';
import {
  hasTakenIt,
  isUnable,
  type Member,
  type MemberClass,
  type RobotEnding,
} from './classify.ts';
import type { RolloutRun } from './record.ts';

const totalsSchema = z.object({
  run_s: z.number(),
  completed: z.number(),
  failed: z.number(),
  crashes: z.number(),
});
type Totals = z.output<typeof totalsSchema>;

export const markSchema = z.object({
  epoch: z.string().max(32),
  /** Totals that were counted, for each stint. */
  stints: z.record(z.string().max(20), totalsSchema),
  /** The stage in which its last crash and its last failed task were counted; -1 for none. */
  crashedInStage: z.number().int(),
  failedInStage: z.number().int(),
  /** The stage in which it last reported anything about the new version. */
  reportedInStage: z.number().int().default(-1),
  /** How it ended this rollout when last seen; null while it has not, or may again. */
  outcome: z.enum(['installed', 'failed']).nullable().default(null),
});
export type CounterMark = z.output<typeof markSchema>;

export interface Observation {
  readonly increments: readonly Increment[];
  /** Work of the old version that was not counted yet. */
  readonly history: readonly PastTotals[];
  /** Only those that changed. */
  readonly marks: ReadonlyMap<RobotId, CounterMark>;
}

const ZERO: Totals = { run_s: 0, completed: 0, failed: 0, crashes: 0 };

export function observe(
  run: RolloutRun,
  members: readonly Member[],
  marks: ReadonlyMap<RobotId, CounterMark>,
): Observation {
  const found = members.flatMap((member) => {
    const one = observeRobot(run, member, marks.get(member.robot));
    return one ? [[member.robot, one] as const] : [];
  });
  return gatherObserved(found);
}

/** Reports of one robot that were not counted yet. */
export interface RobotObserved {
  readonly increments: readonly Increment[];
  readonly history: readonly PastTotals[];
  readonly mark: CounterMark;
}

/** @param found in the order of the robots: sums of fractions depend on it in their last digits */
export const gatherObserved = (
  found: readonly (readonly [RobotId, RobotObserved])[],
): Observation => ({
  increments: found.flatMap(([, one]) => one.increments),
  history: found.flatMap(([, one]) => one.history),
  marks: new Map(found.map(([robot, { mark }]) => [robot, mark])),
});

/** @returns null when there is nothing that was not counted: the mark stays as it is */
export function observeRobot(
  run: RolloutRun,
  member: Member,
  before: CounterMark | undefined,
): RobotObserved | null {
  const increments: Increment[] = [];
  const history: PastTotals[] = [];
  const mark = { ...markOf(member, before), outcome: outcomeOf(member, before?.outcome ?? null) };
  for (const stint of member.component.usage) {
    const group = groupOf(run, member, stint);
    const now = highest(mark.stints[stint.stint] ?? ZERO, totalsOf(stint));
    // Seen for the first time: its work before this rollout is no evidence about it. A stint that
    // this rollout began is evidence from its first second.
    const isPast = before === undefined && group !== 'treated';
    const known = mark.stints[stint.stint] ?? (isPast ? now : ZERO);
    mark.stints[stint.stint] = now;
    if (isPast && stint.version !== run.version) history.push(difference(ZERO, now));
    const increment = group && incrementOf(group, { known, now, mark, stage: run.stage });
    if (!increment) continue;
    if (group === 'control') history.push(increment);
    else mark.reportedInStage = run.stage;
    if (increment.crashes > 0) mark.crashedInStage = run.stage;
    if (increment.tasksFailed > 0) mark.failedInStage = run.stage;
    increments.push(increment);
  }
  return before && isSameMark(before, mark) ? null : { increments, history, mark };
}

function isSameMark(a: CounterMark, b: CounterMark): boolean {
  const [ours, theirs] = [Object.entries(a.stints), b.stints];
  return (
    a.epoch === b.epoch &&
    a.crashedInStage === b.crashedInStage &&
    a.failedInStage === b.failedInStage &&
    a.reportedInStage === b.reportedInStage &&
    a.outcome === b.outcome &&
    ours.length === Object.keys(theirs).length &&
    ours.every(([stint, totals]) => isSameTotals(totals, theirs[stint]))
  );
}

const isSameTotals = (a: Totals, b: Totals | undefined): boolean =>
  b !== undefined &&
  a.run_s === b.run_s &&
  a.completed === b.completed &&
  a.failed === b.failed &&
  a.crashes === b.crashes;

/** A copy to write to, with only the stints that are still reported. */
function markOf(member: Member, before: CounterMark | undefined): CounterMark {
  const fresh: CounterMark = {
    epoch: member.counterEpoch,
    stints: {},
    crashedInStage: -1,
    failedInStage: -1,
    reportedInStage: -1,
    outcome: null,
  };
  if (!before) return fresh;
  const { crashedInStage, failedInStage, reportedInStage } = before;
  // A robot that lost its counters starts from zero, and so do we.
  const known = before.epoch === member.counterEpoch ? before.stints : {};
  const reported = new Set(member.component.usage.map((one) => String(one.stint)));
  const stints = Object.fromEntries(Object.entries(known).filter(([id]) => reported.has(id)));
  return { ...fresh, stints, crashedInStage, failedInStage, reportedInStage };
}

/** Clears the outcome of a robot that may take the version again: unblocked, or called back. */
function outcomeOf(member: Member, before: RobotEnding | null): RobotEnding | null {
  if (hasTakenIt(member)) return 'installed';
  if (member.kind === 'failed') return 'failed';
  return member.kind === 'candidate' || member.kind === 'recalled' ? null : before;
}

/**
 * Null for a robot that shows nothing about this version: during an update, or failed and
 * recovered.
 */
function groupOf(run: RolloutRun, member: Member, stint: UsageReport): Increment['group'] | null {
  if (stint.version === run.version) return stint.rollout === run.rollout ? 'treated' : null;
  return member.kind === 'candidate' && stint.version === member.component.version
    ? 'control'
    : null;
}

const totalsOf = (stint: UsageReport): Totals => ({
  run_s: stint.run_s,
  completed: stint.tasks_completed,
  failed: stint.tasks_failed,
  // Two views of the same events: what the application says and what the health hook sees.
  crashes: Math.max(stint.crashes, stint.restarts),
});

const highest = (a: Totals, b: Totals): Totals => ({
  run_s: Math.max(a.run_s, b.run_s),
  completed: Math.max(a.completed, b.completed),
  failed: Math.max(a.failed, b.failed),
  crashes: Math.max(a.crashes, b.crashes),
});

const difference = (known: Totals, now: Totals): PastTotals => ({
  hours: (now.run_s - known.run_s) / 3600,
  crashes: now.crashes - known.crashes,
  tasksCompleted: now.completed - known.completed,
  tasksFailed: now.failed - known.failed,
});

function incrementOf(
  group: Increment['group'],
  { known, now, mark, stage }: { known: Totals; now: Totals; mark: CounterMark; stage: number },
): Increment | null {
  const more = difference(known, now);
  if (Object.values(more).every((one) => one === 0)) return null;
  return {
    group,
    ...more,
    firstReport: group === 'treated' && mark.reportedInStage !== stage,
    firstCrash: more.crashes > 0 && mark.crashedInStage !== stage,
    firstFailure: more.tasksFailed > 0 && mark.failedInStage !== stage,
  };
}

/**
 * The base of the stage without robots that no longer count: one that a person put back, or that is
 * unknown now. They must not be subtracted from the robots of this stage.
 */
export const baseWithout = (run: RolloutRun, { installed }: Attempts): RolloutRun['base'] =>
  run.base.installed <= installed ? run.base : { ...run.base, installed };

/** A robot that has ended the rollout, and no longer counts: its place in the order. */
export type SpentRobot = Pick<Member, 'fraction' | 'isCanary'>;

/** Null while it counts, or has not ended. */
export function spentOf(
  robot: RobotId,
  member: (MemberClass & SpentRobot) | undefined,
  {
    rollout: { salt, canaries },
    outcome,
  }: {
    readonly rollout: Pick<Rollout, 'salt' | 'canaries'>;
    readonly outcome: RobotEnding | null;
  },
): SpentRobot | null {
  if (outcome === null || (member?.kind ?? 'excluded') !== 'excluded') return null;
  return {
    fraction: member?.fraction ?? cohortFraction(salt, robot),
    isCanary: member?.isCanary ?? canaries.robots.includes(robot),
  };
}

/** True for a robot that the open wave has let in: not a canary, and no robot of an earlier wave. */
export const isOfWave = (
  { fraction, isCanary }: SpentRobot,
  { previous, threshold }: WaveRange,
): boolean => !isCanary && fraction >= previous && fraction < threshold;

/**
 * How the update went, since the stage began, for the robots whose turn has come.
 * @param total the same since the rollout began
 */
export function countAttempts({ base }: Pick<RolloutRun, 'base'>, total: Attempts): Attempts {
  const since = (kind: 'installed' | 'failed' | 'vanished'): number =>
    Math.max(0, total[kind] - base[kind]);
  // A robot that failed or vanished before and has taken the version since belongs to this stage:
  // it counts as installed, and as one of its robots.
  const ended = (kind: 'installed' | 'failed' | 'vanished'): number =>
    Math.min(base[kind], total[kind]);
  const before = ended('installed') + ended('failed') + ended('vanished');
  return {
    cohort: Math.max(0, total.cohort - before),
    reachable: Math.max(0, total.reachable - before),
    installed: since('installed'),
    failed: since('failed'),
    vanished: since('vanished'),
    newcomers: total.newcomers,
    examples: total.examples.slice(0, since('failed') + since('vanished')),
    unable: total.unable,
  };
}

/**
 * From where in the order robots may be named as failed: those of the open wave, once robots of an
 * earlier one have failed or vanished. Null for all.
 */
export const namedSince = ({ base, previous }: Pick<RolloutRun, 'base' | 'previous'>) =>
  base.failed + base.vanished > 0 ? previous : null;

/** A wave: what it let in is from `previous` to `threshold` in the order of the robots. */
export type WaveRange = Pick<RolloutRun, 'previous' | 'threshold'>;

/**
 * The same since the rollout began.
 * @param since see `namedSince`
 */
export const countAll = (
  members: readonly Member[],
  wave: WaveRange,
  since: number | null = null,
): Attempts => ({
  ...countTurns(
    members.map((one) => [one, 1] as const),
    wave.threshold,
  ),
  newcomers: countNewcomers(members, wave),
  ...nameSome(members, wave.threshold, since),
});

/** @see Attempts.newcomers */
export function countNewcomers(
  members: Iterable<MemberClass>,
  wave: WaveRange,
): Attempts['newcomers'] {
  const counts = { reachable: 0, installed: 0 };
  for (const member of members) {
    if (!isOfWave(member, wave)) continue;
    if (isReachable(member)) counts.reachable += 1;
    if (hasTakenIt(member)) counts.installed += 1;
  }
  return counts;
}

/** It has begun or ended its update, or is online and could begin. */
const isReachable = ({ kind, online }: MemberClass): boolean =>
  kind !== 'excluded' && kind !== 'recalled' && (kind !== 'candidate' || online);

/** @param groups members that are counted alike, and how many they are */
export function countTurns(
  groups: Iterable<readonly [MemberClass, number]>,
  threshold: number,
): Omit<Attempts, 'newcomers' | 'examples' | 'unable'> {
  const counts = { cohort: 0, reachable: 0, installed: 0, failed: 0, vanished: 0 };
  for (const [member, many] of groups) {
    if (member.kind === 'excluded' || member.kind === 'recalled') continue;
    if (!hasTurn(member, threshold)) continue;
    counts.cohort += many;
    if (isReachable(member)) counts.reachable += many;
    if (hasTakenIt(member)) counts.installed += many;
    if (member.kind === 'failed' || member.kind === 'vanished') counts[member.kind] += many;
  }
  return counts;
}

/**
 * @param members in the order of the robots
 * @param since see `namedSince`
 */
export function nameSome(
  members: readonly (MemberClass & Pick<Member, 'robot'>)[],
  threshold: number,
  since: number | null,
): Pick<Attempts, 'examples' | 'unable'> {
  const turn = members.filter((one) => isInTurn(one, threshold, since));
  const [unable, ended] = [turn.filter(isUnable), turn.filter((one) => !isUnable(one))];
  const max = LIMITS.examplesMax;
  return {
    examples: ended.slice(0, max).map(({ robot }) => robot),
    unable: unable.slice(0, max).map(({ robot, why }) => `${robot} ${why}`),
  };
}

/** True for a member whose turn has come and that a reason may name. */
export const isInTurn = (one: MemberClass, threshold: number, since: number | null): boolean =>
  isNamed(one) &&
  hasTurn(one, threshold) &&
  (since === null || isUnable(one) || (!one.isCanary && one.fraction >= since));

/** True for a member that a reason may name. */
export const isNamed = (one: Pick<MemberClass, 'kind' | 'why'>): boolean =>
  one.kind === 'failed' || one.kind === 'vanished' || isUnable(one);
