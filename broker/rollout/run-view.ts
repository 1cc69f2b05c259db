/** Builds the API's view of a rollout from its record and the last reconcile pass. Sans-I/O. */

import { instantText } from '../../shared/base/durations.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { approvalOf } from './approval.ts';
import { evidenceEndMs, soakEndMs } from './gate-times.ts';
import type { Reconciled } from './reconcile.ts';
import { isUnopened, shownStatusOf, stagesOf, type RolloutRun } from './record.ts';
import type { LedFacts } from './rollout-facts.ts';
import type { RunView } from './rollout-view.ts';

/** Null while there is no record. */
export function showRun(facts: LedFacts): RunView | null {
  const { run, reconciled, plan, controller, leading } = facts;
  if (run === null) return null;
  const stages = plan ? stagesOf(plan) : [];
  const stage = stages.find((one) => one.wave === run.wave);
  const { soakSinceMs, evidence } = run;
  const soakS = stage?.soakS ?? 0;
  const isSoaking = run.status === 'rolling' && stage !== undefined;
  const soakUntil = isSoaking ? soakEndMs(soakSinceMs, soakS) : null;
  const evidenceUntil =
    isSoaking && plan && !hasNoEnd(reconciled)
      ? evidenceEndMs({ gates: plan.rollout.gates, evidence, soakSinceMs, soakS })
      : null;
  return {
    component: run.component,
    version: run.version,
    withdrawn: run.withdrawn,
    superseded_by: run.supersededBy,
    status: shownStatusOf(run),
    wave: run.wave,
    stages: stages.length,
    threshold: run.threshold,
    recall: run.recall,
    reasons: run.reasons,
    wave_opened_at: instantText(run.waveOpenedAtMs),
    opened: !isUnopened(run),
    soak_until: soakUntil === null ? null : instantText(soakUntil),
    evidence_until: evidenceUntil === null ? null : instantText(evidenceUntil),
    waits_for: waitOf(run),
    cannot_go_back: facts.recall.unable.slice(0, LIMITS.examplesMax),
    gate: showGate(reconciled, { run, plan }),
    // never those of the wave before
    attempts: reconciled?.stage === run.stage ? reconciled.attempts : null,
    controller,
    leading,
    approved: run.approved,
    forced: run.forced,
    places: facts.places?.places ?? null,
    approval: leading ? approvalOf(run, plan, null) : null,
  };
}

function waitOf({ status, withdrawn, waitsFor }: RolloutRun): RunView['waits_for'] {
  if (withdrawn && status !== 'rolling_back') return null;
  return status === 'paused' ? 'resume' : waitsFor;
}

/**
 * A rollout that is over waits for nothing; one that a gate halted shows why, and one that a person
 * stopped has no verdict: the last one let it go on.
 */
function showGate(
  reconciled: Reconciled | null,
  { run, plan }: { run: RolloutRun; plan: LedFacts['plan'] },
): RunView['gate'] {
  const verdict = reconciled?.verdict ?? null;
  const isOn = plan !== null && (run.status === 'rolling' || run.status === 'paused');
  const isStopped = run.status === 'halted' || run.status === 'rolling_back';
  if (isStopped) return verdict?.kind === 'halt' ? verdict : null;
  return !isOn && verdict?.kind === 'hold' ? null : verdict;
}

/**
 * A line that holds without any report has no end: an operator decides (force-open). Nor has the
 * wait for robots that joined the wave and have not ended their update.
 */
const hasNoEnd = (reconciled: Reconciled | null): boolean =>
  reconciled?.verdict.evidence.some(
    (one) =>
      one.verdict === 'hold' &&
      (one.metric === 'apply' ||
        (one.treated === null &&
          (one.metric === 'task' || (one.metric === 'crash' && one.against === 'bound')))),
  ) === true;
