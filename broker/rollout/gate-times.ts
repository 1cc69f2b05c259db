/**
 * Computes when a wave can pass: the end of its soak, and the moment after which it waits for no
 * more evidence. The gate decides by these functions, and the views show their results. Sans-I/O.
 */

import type { Gates } from '../../shared/formats/gates.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { WaveEvidence } from './gate-types.ts';

/** How long a wave waits for evidence, in soaks, when the rollout does not say. */
const EVIDENCE_SOAKS = 8;

/** A batch that lacks one group waits for this many batches; then history takes its place. */
const GATHERING_BATCHES = 2;

/** Longest time that a wave waits for evidence, from the beginning of its soak, in seconds. */
export const evidenceWaitS = (gates: Gates, soakS: number): number =>
  Math.max(gates.evidence_wait_s ?? soakS * EVIDENCE_SOAKS, soakS);

/** Null while the soak has not begun. */
export const soakEndMs = (soakSinceMs: EpochMs | null, soakS: number): EpochMs | null =>
  soakSinceMs === null ? null : soakSinceMs + soakS * 1000;

/**
 * Seconds that the first batch takes: the first number when both versions report, else the second.
 */
export const gatheringS = ({ batch_s }: Gates): readonly [number, number] => [
  batch_s,
  GATHERING_BATCHES * batch_s,
];

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
 * The latest moment at which the wave passes, whatever is reported until then, unless harm shows up
 * or robots of the wave begin to update; null while the soak has not begun. Hours or tasks that are
 * reported for the first time just before are gathered for two batches more.
 */
export function evidenceEndMs({ gates, evidence, soakSinceMs, soakS }: WaitInput): EpochMs | null {
  if (soakSinceMs === null) return null;
  const { treated, pending } = evidence;
  const waited = soakSinceMs + evidenceWaitS(gates, soakS) * 1000;
  const tasks = treated.tasks_completed + treated.tasks_failed;
  const waiting = pending.treated.tasks_completed + pending.treated.tasks_failed;
  const metrics = [
    { total: treated.hours, waiting: pending.treated.hours, since: pending.sinceMs },
    { total: tasks, waiting, since: pending.tasksSinceMs },
  ];
  const gathering = metrics.filter((one) => one.total > 0 && one.total === one.waiting);
  const unreported = metrics.filter((one) => one.total <= 0);
  const known = Math.max(waited, ...gathering.map((one) => gatheredByMs(one.since, gates)));
  return unreported.reduce((end) => gatheredByMs(end, gates), known);
}
