/**
 * The shape of one step of a rollout: its next record, the entries of its audit log, and whether
 * progress has to be published; and the facts that a reconcile pass decides by. Sans-I/O.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import type { Members } from './members.ts';
import type { Attempts, MetricEvidence, GateVerdict } from './gate-types.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';

export type AuditKind =
  | 'announced'
  | 'opened'
  | 'raised'
  | 'held'
  | 'passed'
  | 'halted'
  | 'paused'
  | 'resumed'
  | 'aborted'
  | 'rolling_back'
  | 'rolled_back'
  | 'approved'
  | 'awaiting_approval'
  | 'completed'
  | 'forced'
  | 'ended'
  | 'no_effect'
  | 'reopened'
  | 'superseded'
  | 'withdrawn'
  | 'returned'
  | 'took_over'
  | 'clock_moved'
  | 'notify_failed';

export interface AuditDraft {
  readonly kind: AuditKind;
  readonly by: string;
  readonly text: string;
  readonly evidence: readonly MetricEvidence[];
  /** The command as the key of its user signed it; absent where nothing was signed. */
  readonly signed?: string;
}

export interface RolloutStep {
  readonly run: RolloutRun;
  readonly audit: readonly AuditDraft[];
  /** Progress has to be published. */
  readonly isNews: boolean;
}

export interface VerdictFacts {
  readonly plan: RolloutPlan;
  readonly members: Members;
  readonly attempts: Attempts;
  /** Robots of the open wave that have ended it and no longer count. */
  readonly spent: number;
  readonly verdict: GateVerdict;
  readonly now: EpochMs;
}

export const GATE = 'gate';
const CONTROLLER = 'controller';

/** Nothing changes. */
export const stay = (run: RolloutRun): RolloutStep => ({ run, audit: [], isNews: false });
export const entry = (
  kind: AuditKind,
  text: string,
  more: Partial<Pick<AuditDraft, 'by' | 'evidence'>> = {},
): AuditDraft => ({ kind, by: more.by ?? CONTROLLER, text, evidence: more.evidence ?? [] });
