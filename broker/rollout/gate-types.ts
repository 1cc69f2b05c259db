/**
 * Types of the gate's input and output, shared by the counters (counters.ts), the tests
 * (evidence.ts, gate.ts) and the transitions of a rollout (transitions.ts). All of it is data that
 * survives a restart inside the rollout's record. Sans-I/O.
 */

import { z } from 'zod';
import type { Gates } from '../../shared/formats/gates.ts';
import type { EpochMs } from '../../shared/base/ids.ts';

const countSchema = z.number().min(0);

/** Sums over one group of robots since a wave opened. */
export const groupSchema = z.object({
  hours: countSchema,
  crashes: countSchema,
  tasks_completed: countSchema,
  tasks_failed: countSchema,
  /** Robots that reported anything at all. */
  robots: countSchema.default(0),
  /** Robots with at least one crash, or failed task: one sick robot is not a bad version. */
  robots_crashed: countSchema,
  robots_failing: countSchema,
});

/** Evidence of one wave. The logs are those of the likelihood ratios in sequential-test.ts. */
export const waveEvidenceSchema = z.object({
  /** Sums since the wave opened. */
  treated: groupSchema,
  control: groupSchema,
  /**
   * The part of these sums that the logs do not hold yet; see evidence.ts. Crashes and hours of the
   * new version have waited since `sinceMs`, its tasks since `tasksSinceMs`; 0 when there are none.
   */
  pending: z.object({
    treated: groupSchema,
    control: groupSchema,
    sinceMs: countSchema,
    tasksSinceMs: countSchema.default(0),
  }),
  crash_logs: z.array(z.number()).max(32),
  task_logs: z.array(z.number()).max(32),
});

export type GroupTotals = z.output<typeof groupSchema>;
export type WaveEvidence = z.output<typeof waveEvidenceSchema>;

/** Counts of one robot for its group since it was last counted. */
export interface Increment {
  readonly group: 'treated' | 'control';
  readonly hours: number;
  readonly crashes: number;
  readonly tasksCompleted: number;
  readonly tasksFailed: number;
  /** The first of its kind by this robot in this wave. */
  readonly firstReport: boolean;
  readonly firstCrash: boolean;
  readonly firstFailure: boolean;
}

/** How the update went for the robots that the wave includes. */
export interface Attempts {
  /** Robots whose turn has come. */
  readonly cohort: number;
  /** Those of them that are online, or have ended. Robots that are offline do not delay a wave. */
  readonly reachable: number;
  readonly installed: number;
  readonly failed: number;
  /** Began, and has been offline for longer than `vanish_s` since. Not counted in `failed`. */
  readonly vanished: number;
  /**
   * Of the robots that the open wave let in: reachable ones, and those that took the version. All
   * robots of the cohort count above, also one of an earlier wave that ended its update only now.
   */
  readonly newcomers: { readonly reachable: number; readonly installed: number };
  /** Ids of some robots that failed or vanished, for the reasons. */
  readonly examples: readonly string[];
  /**
   * Some robots whose turn has come and that cannot take it now, each with its code: no failures.
   */
  readonly unable: readonly string[];
}

export type MetricName = 'apply' | 'crash' | 'task';

/** One line of evidence, as people and `--json` read it. */
export interface MetricEvidence {
  readonly metric: MetricName;
  /**
   * `control`: the robots that do not run the version yet; `history`: what the old version did
   * before, where no such robot reports.
   */
  readonly against: 'bound' | 'control' | 'history';
  /** `none`: there was nothing to judge, and nothing is waited for. */
  readonly verdict: 'pass' | 'hold' | 'halt' | 'none';
  /**
   * Share or rate of the new version, and of the control group, history or bound; null when
   * unknown.
   */
  readonly treated: number | null;
  readonly reference: number | null;
  /**
   * Evidence against the new version, and the value that halts. Both null for a verdict without a
   * test.
   */
  readonly e_value: number | null;
  readonly e_halt: number | null;
  /** How much is missing for a pass: robots, robot-hours or tasks; 0 when nothing is. */
  readonly missing: number;
  readonly missing_unit: 'robots' | 'robot_hours' | 'tasks' | null;
  /** One sentence with the numbers in it. */
  readonly text: string;
}

export interface GateVerdict {
  readonly kind: 'pass' | 'hold' | 'halt';
  /** Sentences; never empty. */
  readonly reasons: readonly string[];
  readonly evidence: readonly MetricEvidence[];
}

export interface GateInput {
  readonly gates: Gates;
  readonly evidence: WaveEvidence;
  /** Totals of the old version, used where no robot of the control group reports. */
  readonly history: GroupTotals;
  readonly now: EpochMs;
  readonly attempts: Attempts;
  /** Waves and the group that comes after them: they share the error that is allowed. */
  readonly stages: number;
  readonly soak: {
    /** Null while too few robots have reported for the soak to begin. */
    readonly elapsedS: number | null;
    readonly soakS: number;
  };
}
