/**
 * One reconcile pass: classify the robots, collect their counters, run the gate, step the rollout.
 * The controller and its simulation both run this function. Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { addHistory, addIncrements } from './evidence.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { judge } from './gate.ts';
import type { Attempts, GateVerdict } from './gate-types.ts';
import { membersOf } from './classify.ts';
import {
  baseWithout,
  countAttempts,
  namedSince,
  observe,
  type CounterMark,
  type Observation,
} from './counters.ts';
import { listMembers, type Members } from './members.ts';
import { stagesOf, type RolloutPlan, type RolloutRun } from './record.ts';
import type { ForeignRecord } from './new-keys.ts';
import type { Moment } from './watched-time.ts';
import type { RolloutStep } from './steps.ts';
import { stepByVerdict } from './transitions.ts';

/** The facts of one pass that are the same for every rollout. */
export interface World {
  readonly robots: readonly RobotRecord[];
  readonly now: EpochMs;
  readonly watchedSinceMs: EpochMs;
  /** All announced rollouts; absent when `isComing` of a robot does not matter. */
  readonly plans?: ReadonlyMap<string, RolloutPlan>;
}

/** The state of a rollout in the controller. */
export interface Tracked {
  run: RolloutRun;
  readonly marks: Map<RobotId, CounterMark>;
  reconciled: Reconciled | null;
  over: ForeignRecord | null;
  /** When it was reconciled last. */
  watched: Moment;
  /** The last decision may not have been published. */
  isUntold: boolean;
}

/** A rollout that was not reconciled yet. */
export const newTracked = (
  run: RolloutRun,
  marks: Map<RobotId, CounterMark>,
  watched: Moment,
): Tracked => ({ run, marks, reconciled: null, over: null, watched, isUntold: true });

interface ReconcileInput extends World {
  readonly run: RolloutRun;
  readonly plan: RolloutPlan;
  readonly marks: ReadonlyMap<RobotId, CounterMark>;
}

export interface Reconciled {
  readonly step: RolloutStep;
  /** Only those that changed. */
  readonly marks: ReadonlyMap<RobotId, CounterMark>;
  readonly attempts: Attempts;
  /** That the attempts are of: the step may have begun the next one. */
  readonly stage: number;
  readonly verdict: GateVerdict;
}

/** A stop by the gate, which waits for nothing. */
export const isStop = ({ run: { status } }: RolloutStep): boolean =>
  status === 'halted' || status === 'rolling_back';

/** A pass that changes nothing runs every two seconds: a trace leaves it out. */
export const saysMore = ({ step }: Reconciled): boolean => step.isNews || step.audit.length > 0;

/** The full computation, over every robot. The index must decide as it does (rollout-index.ts). */
export function reconcile(input: ReconcileInput): Reconciled {
  const { run, plan, marks } = input;
  const members = membersOf(input);
  const observed = observe(run, members, marks);
  return decide(input, listMembers(members, plan.rollout, marks), observed);
}

/** Runs the gate over what was counted, and steps the rollout. */
export function decide(
  { run, plan, now }: Pick<ReconcileInput, 'run' | 'plan' | 'now'>,
  members: Members,
  observed: Observation,
): Reconciled {
  const { gates } = plan.rollout;
  const evidence = addIncrements(run.evidence, observed.increments, { gates, now });
  const history = addHistory(run.history, observed.history);
  const total = members.countAll(run, namedSince(run));
  const counted: RolloutRun = { ...run, base: baseWithout(run, total), evidence, history };
  const attempts = countAttempts(counted, total);
  const stages = stagesOf(plan);
  const stage = stages.find((one) => one.wave === run.wave);
  const verdict = judge({
    gates,
    evidence,
    history,
    now,
    attempts,
    stages: stages.length + 1,
    soak: {
      elapsedS: run.soakSinceMs === null ? null : (now - run.soakSinceMs) / 1000,
      soakS: stage?.soakS ?? 0,
    },
  });
  const spent = members.countSpent(run);
  const step = stepByVerdict(counted, { plan, members, attempts, spent, verdict, now });
  return { step, marks: observed.marks, attempts, stage: run.stage, verdict };
}
