/** A rollout's record and the last look at it, as the API shows them. Pure. */

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
  return {
    status: run.status,
    wave: run.wave,
    stages: stages.length,
    threshold: run.threshold,
    recall: run.recall,
    reasons: run.reasons,
    wave_opened_at: iso(run.waveOpenedAtMs),
    soak_until: isSoaking ? iso(soakUntilMs) : null,
    waits_for: run.waitsFor,
    gate: looked?.verdict ?? null,
    attempts: looked?.attempts ?? null,
    controller,
    leading,
    approved: run.approved,
  };
}
