/** A rollout's record and the last look at it, as the API shows them. Pure. */

import { evidenceWaitS } from './gate.ts';
import type { Looked } from './look.ts';
import { stagesOf, type Plan, type RolloutRun } from './rollout-run.ts';
import type { RunView } from './rollout-view.ts';

export interface RunFacts {
  readonly run: RolloutRun;
  /** Null while this controller has not looked at it. */
  readonly looked: Looked | null;
  /** Null when it is no longer announced. */
  readonly plan: Plan | null;
  readonly controller: string;
  readonly leading: boolean;
}

const iso = (ms: number): string => new Date(ms).toISOString();

export function showRun({ run, looked, plan, controller, leading }: RunFacts): RunView {
  const stages = plan ? stagesOf(plan) : [];
  const stage = stages.find((one) => one.wave === run.wave);
  const isSoaking = run.status === 'rolling' && run.soakSinceMs !== null && stage !== undefined;
  const soakUntilMs = (run.soakSinceMs ?? 0) + (stage?.soakS ?? 0) * 1000;
  const waitS = plan ? evidenceWaitS(plan.rollout.gates, stage?.soakS ?? 0) : 0;
  const evidenceUntilMs = (run.soakSinceMs ?? 0) + waitS * 1000;
  return {
    component: run.component,
    version: run.version,
    withdrawn: run.withdrawn,
    status: run.status,
    wave: run.wave,
    stages: stages.length,
    threshold: run.threshold,
    recall: run.recall,
    reasons: run.reasons,
    wave_opened_at: iso(run.waveOpenedAtMs),
    soak_until: isSoaking ? iso(soakUntilMs) : null,
    evidence_until: isSoaking && !waitsForEver(looked) ? iso(evidenceUntilMs) : null,
    waits_for: run.waitsFor,
    gate: looked?.verdict ?? null,
    attempts: looked?.attempts ?? null,
    controller,
    leading,
    approved: run.approved,
  };
}

/** See missingExposure in gate.ts: who does no tasks is waited for until a person decides. */
const waitsForEver = (looked: Looked | null): boolean =>
  looked?.verdict.evidence.some(
    (one) => one.metric === 'task' && one.verdict === 'hold' && one.treated === null,
  ) === true;
