/**
 * Decides how a robot continues whose state file is gone or damaged. An unconfirmed update may be
 * active: with a release to go back to, the active release is put on probation again. Sans-I/O.
 */

import { ATOMIC_SWAP } from '../../shared/formats/apply-strategy.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import { compareVersions } from '../../shared/base/version.ts';
import { versionOf, type Slots } from '../install/slots.ts';
import { leadNowhere, unlinkedProblem } from './unlinked.ts';
import {
  freshState,
  isLostJob,
  LOST_PAYLOAD,
  LOST_ROLLOUT,
  type Job,
  type MachineState,
} from './state.ts';

/**
 * @param damage the problem of the file; null when there was no file
 * @param releases of Drover's in the root
 * @param held versions in system slots: one that no link names may be on trial there
 * @returns the state to begin with; on probation when both slots lead to releases
 */
export function stateAfterLoss(
  slots: Slots,
  damage: Problem | null,
  now: EpochMs,
  releases: readonly string[] = [],
  held: readonly string[] = [],
): MachineState {
  const fresh = freshState();
  if (releases.length > 0 && leadNowhere(slots)) {
    const lastProblem = { ...unlinkedProblem(releases), version: null, atMs: now };
    return { ...fresh, unlinked: [...releases], lastProblem };
  }
  const version = versionOf(slots.active);
  const previous = versionOf(slots.rollback);
  // A root with one release may have come with the image: it does not prove that a state was lost.
  const isLost = slots.rollback.kind !== 'absent';
  const strange = held.filter((one) => one !== version && one !== previous);
  if (!isLost && damage === null) {
    return strange.length === 0 || version === null
      ? fresh
      : { ...fresh, lastProblem: { ...unaskedProblem(version, strange), version, atMs: now } };
  }
  const hasWayBack = version !== null && previous !== null && previous !== version;
  const why = damage?.message ?? 'read state: machine.json is gone';
  const next = hasWayBack
    ? `${version} is on probation again, with ${previous} to go back to`
    : 'there is no release to go back to';
  const problem = isLost ? toProblem(new DroverError('STATE_LOST', `${why}; ${next}`)) : damage;
  const lastProblem = problem && { ...problem, version, atMs: now };
  if (!hasWayBack) return { ...fresh, lastProblem };
  return { ...fresh, phase: 'probation', job: lostJob(version, previous, now), lastProblem };
}

/** Told until the boot loader has said which slot runs. */
function unaskedProblem(active: string, held: readonly string[]): Problem {
  const message = `read state: machine.json is gone; active names ${active}, a system slot holds ${held.join(' and ')}, and the slot that runs was not asked for yet`;
  return toProblem(new DroverError('STATE_LOST', message));
}

/** The boot loader had an order that no update of this state gave, and it was taken back. */
export function withStrayOrder(state: MachineState, problem: Problem, now: EpochMs): MachineState {
  return { ...state, lastProblem: { ...problem, version: state.lastActive, atMs: now } };
}

/**
 * A job without a way back gets one when `rollback` leads to a release: the state may be older than
 * the links, or of another robot. A rollback to nothing would leave a robot without software.
 */
export function withRollback(state: MachineState, slots: Slots): MachineState {
  const { job, phase } = state;
  if (!job || job.previousVersion !== null || !AFTER_SWAP.includes(phase)) return state;
  const previousVersion = versionOf(slots.rollback);
  if (previousVersion === null || previousVersion === job.version) return state;
  return { ...state, job: { ...job, previousVersion } };
}

/**
 * A state that is older than the links, as from a backup: it does not show that the active release
 * was ever confirmed, so that is on probation again. A person may link a release that was.
 */
export function withNewerLinks(state: MachineState, slots: Slots, now: EpochMs): MachineState {
  const version = versionOf(slots.active);
  const previous = versionOf(slots.rollback);
  if (!BEFORE_SWAP.includes(state.phase) || version === null || wasConfirmed(state, version)) {
    return state;
  }
  if (previous === null || previous === version) return state;
  const message = `read state: machine.json is older than the links: active leads to ${version}, which was never confirmed here; ${version} is on probation again, with ${previous} to go back to`;
  const problem = toProblem(new DroverError('STATE_LOST', message));
  return onProbation(state, { version, previous, problem }, now);
}

/** Puts a version on probation whose update is unknown. */
export function onProbation(
  state: MachineState,
  { version, previous, problem }: { version: string; previous: string | null; problem: Problem },
  now: EpochMs,
): MachineState {
  const job = lostJob(version, previous, now);
  const lastProblem = { ...problem, version, atMs: now };
  return { ...state, phase: 'probation', job, retry: null, lastProblem };
}

/** As far as the state shows; one without any version contradicts none. */
function wasConfirmed({ installed, lastActive, highest }: MachineState, version: string): boolean {
  const known = [installed?.version ?? null, lastActive].filter((one) => one !== null);
  if (known.length === 0 && highest === null) return true;
  return known.includes(version) || (highest !== null && compareVersions(version, highest) <= 0);
}

/**
 * Remembers the active version: a link that is lost later is then not taken for "nothing
 * installed".
 */
export function withActive(state: MachineState, slots: Slots): MachineState {
  const version = versionOf(slots.active);
  const isAtRest = state.phase === 'idle' && version !== null;
  return isAtRest ? { ...state, lastActive: version, unlinked: [] } : state;
}

/** A release was linked again: it is on probation, with the one before it as the way back. */
export function relinked(
  state: MachineState,
  {
    version,
    previous,
    left,
  }: Record<'version', string> & Record<'previous' | 'left', string | null>,
  now: EpochMs,
): MachineState {
  const back =
    previous === null ? 'there is no release to go back to' : `${previous} to go back to`;
  const [code, was] =
    left === null
      ? (['RELEASE_LOST', 'the link was gone'] as const)
      : (['RELEASE_DAMAGED', `it led to ${left}, which is not whole`] as const);
  const message = `read active: ${was}; it leads to ${version} now, on probation: ${back}`;
  const problem = toProblem(new DroverError(code, message, { hint: MENDED_HINT }));
  return { ...onProbation(state, { version, previous, problem }, now), installed: null };
}

/** The hint when nothing is left to do at the robot. */
export const MENDED_HINT =
  'this was mended; find out who removed or changed it, and look at the disk (dmesg) before you trust it again';

const AFTER_SWAP: readonly RobotPhase[] = ['probation', 'rolling_back', 'reverting', 'stuck'];
const BEFORE_SWAP: readonly RobotPhase[] = [
  ...(['idle', 'checking', 'downloading', 'verifying', 'staging', 'waiting'] as const),
];

/** Stands for the unknown update: its version, and the one that it replaced. */
function lostJob(version: string, previousVersion: string | null, now: EpochMs): Job {
  return {
    rollout: LOST_ROLLOUT,
    seq: 0,
    version,
    manifest: '',
    signatures: [],
    strategy: ATOMIC_SWAP, // unless its file in strategies/ says otherwise
    payloadSha256: LOST_PAYLOAD,
    payloadBytes: 0,
    tarBytes: null,
    chunkBytes: LIMITS.chunkBytesDefault,
    chunkIndex: LOST_PAYLOAD,
    offers: [],
    delta: null,
    patchStarts: 0,
    deltaFailed: null,
    downgradeFrom: null,
    by: [],
    emergency: false,
    healthTimeoutMs: LIMITS.healthTimeoutMsDefault,
    previousVersion,
    leftVersion: null,
    slotTrial: null,
    follows: null,
    leaseHolders: [],
    leaseLosses: 0,
    startedAtMs: now,
    boots: 0,
    bootCounted: false,
    seenBoot: null,
    corruptCount: 0,
    rollbackAttempts: 0,
    stuckCount: 0,
    persists: 0,
    cause: null,
    set: null,
    health: 'unasked',
    commitId: null,
    budget: null,
  };
}

/** Rollout of a job for reports: none for an unknown update. */
export const rolloutOf = (job: Job | null): string | null =>
  job === null || isLostJob(job) ? null : job.rollout;

/** Told with each start until what runs is confirmed again. */
export function lossOf({ job, lastProblem }: MachineState): Problem | null {
  if (job === null || !isLostJob(job) || !lastProblem) return null;
  const code = (['STATE_LOST', 'RELEASE_LOST', 'RELEASE_DAMAGED'] as const).find(
    (one) => one === lastProblem.code,
  );
  const { message, hint } = lastProblem;
  return code ? toProblem(new DroverError(code, message, { hint })) : null;
}
