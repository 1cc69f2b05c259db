/**
 * Takes a rollout over from a controller that is gone: its last progress becomes our record. Counts
 * that only the other store had are lost, so the wave has to prove itself again; what was opened
 * stays open, what was halted stays halted. Sans-I/O.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import { isApproved, needsSeveral } from '../../shared/rules/approvers.ts';
import { emptyEvidence } from './evidence.ts';
import { obey } from './operator-commands.ts';
import { beginRun, stagesOf, type RolloutPlan, type RolloutRun } from './record.ts';
import type { AuditEntry } from './rollout-view.ts';
import type { RolloutStep } from './steps.ts';

/** Null when our own record is as new as the published progress. */
export function takeOver(
  run: RolloutRun | null,
  plan: RolloutPlan,
  progress: Progress,
  now: EpochMs,
): RolloutRun | null {
  if (run && run.seq >= progress.seq) return null;
  const own = run ?? beginRun(plan, now);
  const isSameWave = run?.wave === progress.wave;
  return {
    ...own,
    status: progress.status,
    wave: progress.wave,
    // Never below what was published; above it only when we had published that ourselves.
    threshold: progress.threshold,
    previous: isSameWave ? own.previous : previousOf(own, plan, progress),
    recall: progress.recall || progress.status === 'rolling_back',
    reasons: progress.reasons,
    ...approvalsOf(own, plan, progress),
    // Progress does not contain it: an operator forces the wave here again, or its gate passes.
    forced: [],
    signedSinceMs: now,
    noEffect: progress.no_effect,
    settled: progress.settled,
    pausedAtMs: null,
    // Progress does not contain it: the waves prove themselves again when it continues.
    pausedFrom: 'rolling',
    waveOpenedAtMs: progress.wave_opened_at ?? progress.issued_at,
    soakSinceMs: null,
    stage: own.stage + 1,
    base: { installed: 0, failed: 0, vanished: 0 },
    evidence: emptyEvidence(),
    history: own.history,
    waitsFor: progress.status === 'rolling' ? 'robots' : null,
    places: progress.places.map(({ robot, asked_at, until }) => ({
      ...{ robot, askedAtMs: asked_at, untilMs: until },
    })),
    seq: progress.seq,
    expiresAtMs: progress.expires_at,
  };
}

/**
 * Progress does not contain it. The waves before had reached their announced share at least: robots
 * below that prove nothing about the open wave.
 */
function previousOf(own: RolloutRun, plan: RolloutPlan, { wave, threshold }: Progress): number {
  const before = stagesOf(plan).filter((one) => one.wave < wave);
  return Math.min(threshold, Math.max(own.threshold, ...before.map(({ share }) => share)));
}

/**
 * Where a wave needs several users, only users count: a controller that does not know the rule may
 * have signed that a wave is approved.
 */
function approvalsOf(
  own: RolloutRun,
  { rollout }: RolloutPlan,
  { wave, approved, approved_by: users }: Progress,
): Pick<RolloutRun, 'approved' | 'approvedBy'> {
  if (!needsSeveral(rollout)) return { approved, approvedBy: own.approvedBy };
  const isEnough = isApproved(rollout, users);
  const others = own.approvedBy.filter((one) => one.wave !== wave);
  return {
    approved: approved.filter((one) => one < wave || (one === wave && isEnough)),
    approvedBy: users.length === 0 ? others : [...others, { wave, users }],
  };
}

/**
 * The announcement has another release under the id of a record. Nothing that held for the former
 * release holds for this one.
 * @returns null when the record is about the announced release
 */
export function beginAnew(
  run: RolloutRun,
  plan: RolloutPlan,
  { by, now }: { readonly by: string; readonly now: EpochMs },
): RolloutStep | null {
  const { name, version } = plan.manifest;
  const isSame = run.component === name && run.version === version;
  if (isSame && (run.release === null || run.release === plan.release)) {
    return null;
  }
  const { seq, auditSeq } = run;
  const text = `${version} was announced under the id of a rollout of ${run.version}: it begins anew`;
  const audit = [{ kind: 'announced', by, text, evidence: [] } as const];
  return { run: { ...beginRun(plan, now), seq, auditSeq }, audit, isNews: true };
}

/** No robot joins a rollout that left the announcement until it is announced again. */
const mayWiden = ({ status, withdrawn }: RolloutRun): boolean => status === 'rolling' && !withdrawn;

/**
 * Pauses a rollout of a controller that runs on an older copy of its data. The age of the copy is
 * unknown, so the wave soaks again.
 */
export function pauseOlderCopy(copy: RolloutRun, why: string, now: EpochMs): RolloutStep {
  const run = { ...copy, signedSinceMs: now };
  if (!mayWiden(run)) return { run, audit: [], isNews: false };
  const id = run.rollout;
  const reason = `${why}. Who knows that it was not says: drover rollout resume ${id}; else abort or rollback`;
  const step = obey(run, { command: 'pause', who: 'controller', reason }, { plan: null, now });
  return { ...step, run: { ...step.run, soakSinceMs: null } };
}

/**
 * Pauses a rollout of a restored backup. It may have been halted since, and its robots called back;
 * rolling on would move them forward again, so it waits for an operator. A rollout that was over
 * stays over, and a recall continues: the lost broker published it as well.
 */
const RESTORE = 'restore';

/** Null when it may continue as it is. */
export function pauseRestored(
  before: RolloutRun,
  { backupAt, at }: { backupAt: string; at: string },
): { run: RolloutRun; audit: AuditEntry } | null {
  if (!mayWiden(before)) return null;
  const reason = `from a backup of ${backupAt}, it may have been halted since`;
  const { run, audit } = obey(
    before,
    { command: 'pause', who: RESTORE, reason },
    // Its soak has stood still since the backup: this controller did not watch the time between.
    { plan: null, now: Date.parse(backupAt) },
  );
  const [draft] = audit;
  if (!draft) throw new TypeError('pauseRestored: a pause is written down');
  const seq = run.auditSeq + 1;
  const { rollout, wave, threshold, status } = run;
  return {
    run: { ...run, auditSeq: seq },
    audit: { ...draft, seq, at, rollout, wave, threshold, status },
  };
}
