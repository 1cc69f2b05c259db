/**
 * The JSON of rollouts over HTTP: the contract between the controller, the API and `drover
 * rollout`. Types only; instants are ISO text. Sans-I/O.
 */

import type { ToldPlace } from '../../shared/rules/budget.ts';
import type { Attempts, MetricEvidence, GateVerdict } from './gate-types.ts';
import type { Approval } from './approval.ts';
import type { RolloutRun, ShownStatus } from './record.ts';
import type { Signing } from './signed-approval.ts';

export const ROLLOUT_COMMANDS = [
  'pause',
  'resume',
  'abort',
  'rollback',
  'approve',
  'force-open',
] as const;
export type RolloutCommand = (typeof ROLLOUT_COMMANDS)[number];

export interface Speaker extends Signing {
  readonly who: string;
  readonly reason: string;
  /** The wave of the command, where it names one. */
  readonly wave?: number | undefined;
}

/** One decision, kept for ever. */
export interface AuditEntry {
  readonly seq: number;
  readonly at: string;
  readonly rollout: string;
  readonly kind: string;
  /** `gate`, `controller …`, `key …` of an announcement, or an operator. */
  readonly by: string;
  readonly text: string;
  readonly wave: number;
  readonly threshold: number;
  readonly status: string;
  readonly evidence: readonly MetricEvidence[];
  /** An approval or a force-open as the key of its user signed it; absent for all others. */
  readonly signed?: string;
}

/** A rollout in sentences, as `drover rollout status` prints them. */
export interface RolloutWords {
  readonly status: string;
  /** The event that it waits for. */
  readonly waits: string;
  /** Counts of the robots that it targets. */
  readonly robots: string;
  /** State of its last wave: `open`, or how that ended. */
  readonly wave: string;
  /** Its budget, and a line for each place in which something happens; empty without one. */
  readonly budget: readonly string[];
}

export interface RunView {
  readonly component: string;
  readonly version: string;
  /** It left the announcement: no robot joins it any more, only a recall continues. */
  readonly withdrawn: boolean;
  /** The rollout that replaced it in the announcement. */
  readonly superseded_by: string | null;
  readonly status: ShownStatus;
  readonly wave: number;
  readonly stages: number;
  readonly threshold: number;
  readonly recall: boolean;
  readonly reasons: readonly string[];
  readonly wave_opened_at: string;
  /** False until its first wave has opened: a command came before that. */
  readonly opened: boolean;
  readonly soak_until: string | null;
  /**
   * When the wave passes without the evidence that is missing, unless harm shows up. Null before
   * the soak, and when it waits without end: the new version does none of the old one's tasks.
   */
  readonly evidence_until: string | null;
  /** `unable`: the only robots left cannot take it, or go back, before a person fixes them. */
  readonly waits_for: RolloutRun['waitsFor'] | 'resume';
  /** The first of the robots that should go back and cannot, each with its code. */
  readonly cannot_go_back: readonly string[];
  /** Null until the controller has reconciled it. */
  readonly gate: GateVerdict | null;
  readonly attempts: Attempts | null;
  /** The leading process, as far as this one knows. */
  readonly controller: string;
  readonly leading: boolean;
  readonly approved: readonly number[];
  /** Waves that an operator ended without a verdict. */
  readonly forced: readonly number[];
  /**
   * Places of its budget in which a robot is out of service, has one or waits for one. Null without
   * a budget, and where another controller leads.
   */
  readonly places: readonly ToldPlace[] | null;
  /**
   * State of the approval of the open wave, and when it can be given. Null where another controller
   * leads: only that one runs the gate.
   */
  readonly approval: Approval | null;
}
