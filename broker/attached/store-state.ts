/**
 * State of the chunks of an announced rollout on an external engine: complete, being checked, or
 * lost. It folds the results of one check and describes them. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { shortHash, type EpochMs, type Sha256Hex } from '../../shared/base/ids.ts';

export interface StoreState {
  /** `unchecked`: not checked on this link yet. */
  readonly status: 'unchecked' | 'checking' | 'complete' | 'lost';
  /** Number of different chunks, with the index; 0 while the index is not known. */
  readonly chunks: number;
  readonly present: number;
  /** Number of chunks that we published again since this program has known the rollout. */
  readonly restored: number;
  readonly lost: number;
  readonly checkedAtMs: EpochMs | null;
  readonly problem: Problem | null;
}

export const UNCHECKED: StoreState = {
  status: 'unchecked',
  chunks: 0,
  present: 0,
  restored: 0,
  lost: 0,
  checkedAtMs: null,
  problem: null,
};

/** The state in the API: names with underscores, times as text. */
export interface StoreView {
  readonly status: StoreState['status'];
  readonly chunks: number;
  readonly present: number;
  readonly restored: number;
  readonly lost: number;
  readonly checked_at: string | null;
  readonly problem: Problem | null;
}

export function showStore({ checkedAtMs, ...state }: StoreState): StoreView {
  const checked_at = checkedAtMs === null ? null : instantText(checkedAtMs);
  return { ...state, checked_at };
}

export interface CheckOutcome {
  readonly chunks: number;
  readonly restored: number;
  readonly lost: readonly Sha256Hex[];
  /** True when the engine took chunks from us and did not have them afterwards. */
  readonly refusesThem: boolean;
}

export function afterCheck(
  before: StoreState,
  rollout: string,
  outcome: CheckOutcome,
  now: EpochMs,
): StoreState {
  const { chunks, lost } = outcome;
  return {
    status: lost.length === 0 ? 'complete' : 'lost',
    chunks,
    present: Math.max(0, chunks - lost.length),
    restored: before.restored + outcome.restored,
    lost: lost.length,
    checkedAtMs: now,
    problem: lost.length === 0 ? null : toProblem(lostError(rollout, outcome)),
  };
}

function lostError(rollout: string, { chunks, lost, refusesThem }: CheckOutcome): DroverError {
  const [first = ''] = lost;
  const how = refusesThem ? 'the engine does not keep' : 'the engine has lost';
  const text = `keep the chunks of ${rollout}: ${how} ${lost.length} of ${chunks}`;
  const more = refusesThem
    ? { hint: 'check its limits on the size and number of retained messages, and its access list' }
    : {};
  return new DroverError('CHUNKS_LOST', `${text}, the first is ${shortHash(first)}`, more);
}
