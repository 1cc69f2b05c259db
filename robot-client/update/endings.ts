/**
 * The ends of a job: what it leaves in the state when it was confirmed, undone or refused, and what
 * is noted of a failure before. Sans-I/O.
 */

import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { isErrorCode, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { blockOf } from './blocks.ts';
import { retryAfter } from './retry.ts';
import { isLostJob, withConfirmed, type Job, type LastUpdate, type MachineState } from './state.ts';

export function noted(state: MachineState, problem: Problem, now: EpochMs): MachineState {
  const version = state.job?.version ?? null;
  return { ...state, lastProblem: { ...problem, version, atMs: now } };
}

export function failing(state: MachineState, problem: Problem, now: EpochMs): MachineState {
  const { job } = state;
  return noted(job ? { ...state, job: { ...job, cause: problem } } : state, problem, now);
}

/**
 * The job has brought the active version; the one before was confirmed as well, maybe by an older
 * agent.
 */
export function confirmed(state: MachineState): MachineState {
  const { job, installed } = state;
  const after = withConfirmed(withConfirmed(state, installed), job);
  const now = { installed: job && known(job), lastActive: job && job.version, unlinked: [] };
  return { ...after, ...now, job: null, retry: null, lastProblem: null };
}

/** Null for the stand-in of an update whose state was lost: no recall or report is about it. */
const known = (job: Job): Job | null => (isLostJob(job) ? null : job);

interface Ending {
  readonly outcome: LastUpdate['outcome'];
  readonly code: string | null;
  readonly now: EpochMs;
}

export function finished(state: MachineState, job: Job | null, ending: Ending): MachineState {
  if (!job || isLostJob(job)) return state;
  const { outcome, code, now } = ending;
  const lastUpdate: LastUpdate = {
    rollout: job.rollout,
    version: job.version,
    outcome,
    code,
    startedAtMs: job.startedAtMs,
    endedAtMs: Math.max(now, job.startedAtMs),
    bytes: job.delta?.bytes ?? job.payloadBytes,
    deltaFrom: job.delta?.fromVersion ?? null,
    deltaFailed: job.deltaFailed,
  };
  return { ...state, lastUpdate };
}

export function mayRetry(problem: Problem): boolean {
  return CATALOGUE[problem.code].retry !== 'never';
}

/** Causes that do not concern the version: it may be tried again. */
const NOBODYS_FAULT: readonly string[] = [
  'SWAP_FAILED',
  'BOOT_NOT_COUNTED',
  'RELEASE_DAMAGED',
  'RELEASE_LOST',
  'MODULE_BUSY',
  'MODULE_MISSING',
  'PROGRAM_UNSAFE',
  'PATH_UNSAFE',
  'BOOT_MISSING',
  'BOOT_TOOL_FAILED',
  'BOOT_STATE_DAMAGED',
  'BOOT_REBOOT_FAILED',
  'READY_LEASE_LOST',
  'SET_FAILED',
  'AGENT_UNHEARD',
  'AGENT_NOT_LAUNCHED',
];
/** Codes of the disks, the links and the slots of the robot, which would fail for any version. */
const OF_THE_ROBOT =
  /^(?:DISK_|ROOT_|SLOT_|STATE_|BOOT_SLOT_|BOOT_DEVICE_|PERMISSION_DENIED$|NOT_A_FILE$|BOOT_READ_BACK_WRONG$|BOOT_VERSION_UNKNOWN$)/;
const isNobodysFault = (code: string): boolean =>
  NOBODYS_FAULT.includes(code) || OF_THE_ROBOT.test(code);

/** A version that ran and failed is blocked; only a swap that never happened has no fault. */
export function afterRollback(
  state: MachineState,
  lastActive: string | null,
  now: EpochMs,
): MachineState {
  const { cause } = state.job ?? { cause: null };
  if (!cause) return { ...state, job: null };
  const code = isErrorCode(cause.code) ? cause.code : 'INTERNAL';
  if (state.job?.version === lastActive)
    return { ...noted(state, { ...cause, code }, now), job: null };
  // After the undo; what a failed update replaced is active again.
  const isUndone = state.installed?.rollout === state.job?.rollout;
  // A confirmed release had not failed: it goes back with another one of its set.
  const isCalledBack = code === 'ROLLOUT_RECALLED' || (isUndone && code === 'SET_FAILED');
  const outcome = isCalledBack ? 'recalled' : 'rolled_back';
  const after = ended(state, { ...cause, code }, now, isNobodysFault(code));
  const isThere = !isUndone && state.installed?.version === lastActive;
  const installed = isThere ? state.installed : null;
  return finished({ ...after, installed, lastActive }, state.job, { outcome, code, now });
}

/** The job is over: blocked when trying again cannot help, else to be tried after a wait. */
export function ended(
  state: MachineState,
  problem: Problem,
  now: EpochMs,
  again: boolean,
): MachineState {
  const { job } = state;
  const noticed = { ...noted(state, problem, now), job: null };
  if (!job) return noticed;
  const after = finished(noticed, job, { outcome: 'refused', code: problem.code, now });
  const { payloadSha256 } = job;
  if (!again) {
    const entry = blockOf(job, problem.code);
    const others = state.blocked.filter((one) => one.payloadSha256 !== payloadSha256);
    return { ...after, retry: null, blocked: [...others, entry].slice(-LIMITS.blockedBundlesMax) };
  }
  return { ...after, retry: retryAfter(state.retry, payloadSha256, now) };
}
