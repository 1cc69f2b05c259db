/**
 * One look of the controller at the fleet: who is what, what was counted, what the gate says, what
 * becomes of the rollout. Pure; the controller and its simulation run this same function.
 * Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { addHistory, addIncrements } from './evidence.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { judge } from './gate.ts';
import type { Attempts, GateVerdict } from './gate-types.ts';
import { membersOf } from './classify.ts';
import { baseWithout, countAttempts, observe, type CounterMark } from './counters.ts';
import { stagesOf, type Plan, type RolloutRun } from './record.ts';
import { look, type RolloutStep } from './transitions.ts';

export interface LookInput {
  readonly run: RolloutRun;
  readonly plan: Plan;
  readonly robots: readonly RobotRecord[];
  readonly marks: ReadonlyMap<RobotId, CounterMark>;
  readonly now: EpochMs;
  readonly watchedSinceMs: EpochMs;
}

export interface Looked {
  readonly step: RolloutStep;
  /** Only those that changed. */
  readonly marks: ReadonlyMap<RobotId, CounterMark>;
  readonly attempts: Attempts;
  readonly verdict: GateVerdict;
}

export function lookAt({ run, plan, robots, marks, now, watchedSinceMs }: LookInput): Looked {
  const members = membersOf({ plan, robots, now, watchedSinceMs });
  const observed = observe(run, members, marks);
  const { gates } = plan.rollout;
  const evidence = addIncrements(run.evidence, observed.increments, { gates, now });
  const history = addHistory(run.history, observed.history);
  const base = baseWithout(run, members);
  const counted: RolloutRun = { ...run, base, evidence, history };
  const attempts = countAttempts(counted, members);
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
  const step = look(counted, { plan, members, attempts, verdict, now });
  return { step, marks: observed.marks, attempts, verdict };
}
