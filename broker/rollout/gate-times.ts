/**
 * Computes when a wave can pass: the end of its soak, and the moment from which it waits for no
 * more evidence. Sans-I/O. The gate decides by these functions and people are told what they say.
 */

import type { Gates } from '../../shared/rules/gates.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { WaveEvidence } from './gate-types.ts';

/** Soaks that a wave waits for evidence when the rollout does not say how long. */
const EVIDENCE_SOAKS = 8;

/** A batch that lacks one group is waited for this many batches; then the past takes its place. */
const GATHERING_BATCHES = 2;

/** How long after the beginning of its soak a wave waits for evidence at most. */
export const evidenceWaitS = (gates: Gates, soakS: number): number =>
  Math.max(gates.evidence_wait_s ?? soakS * EVIDENCE_SOAKS, soakS);

/** Null while the soak has not begun. */
export const soakEndMs = (soakSinceMs: EpochMs | null, soakS: number): EpochMs | null =>
  soakSinceMs === null ? null : soakSinceMs + soakS * 1000;

/** @param since when the first batch began to fill; 0 when it has not */
export const gatheredByMs = (since: EpochMs, gates: Gates): EpochMs =>
  since + GATHERING_BATCHES * 1000 * gates.batch_s;

export interface WaitInput {
  readonly gates: Gates;
  readonly evidence: WaveEvidence;
  readonly soakSinceMs: EpochMs | null;
  readonly soakS: number;
}

/**
 * The latest moment at which the wave passes when nothing more is reported and no harm shows up;
 * null while the soak has not begun.
 */
export function evidenceEndMs({ gates, evidence, soakSinceMs, soakS }: WaitInput): EpochMs | null {
  if (soakSinceMs === null) return null;
  const { treated, pending } = evidence;
  const waited = soakSinceMs + evidenceWaitS(gates, soakS) * 1000;
  const first = (total: number, waiting: number, since: number): number =>
    total > 0 && total === waiting ? gatheredByMs(since, gates) : 0;
  const tasks = treated.tasks_completed + treated.tasks_failed;
  const waiting = pending.treated.tasks_completed + pending.treated.tasks_failed;
  return Math.max(
    waited,
    first(treated.hours, pending.treated.hours, pending.sinceMs),
    first(tasks, waiting, pending.tasksSinceMs),
  );
}
