/**
 * Decides which update a log is about, and when its log is kept: at the step that ends the update
 * with a failure, before the way back begins. A way back that went on without the agent, in
 * `recover` or over a power cut, is recognised at the next start. Sans-I/O.
 */

import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { failureText } from '../../shared/base/redact.ts';
import { mayRetry } from '../update/endings.ts';
import type { MachineEvent } from '../update/machine.ts';
import type { Job, MachineState } from '../update/state.ts';

/** The update that the lines on the disk are about. */
export interface LogSubject {
  readonly rollout: string;
  readonly version: string;
  readonly startedAtMs: EpochMs;
  /** Of the kernel, when the update began; a failure in a later one has the journal of that boot. */
  readonly bootId: string | null;
  /** The log of its failure is on the disk. */
  readonly isKept: boolean;
}

export interface UpdateStep {
  readonly before: MachineState;
  readonly event: MachineEvent;
  readonly after: MachineState;
}

export interface UpdateFailure {
  readonly rollout: string;
  readonly version: string;
  readonly code: string;
  readonly message: string;
}

export interface LogMove {
  /** Another update begins: its lines begin again. */
  readonly begins: Job | null;
  readonly failure: UpdateFailure | null;
}

export function decideLog(subject: LogSubject | null, step: UpdateStep): LogMove {
  const { job } = step.after;
  const isOther = job !== null && !isAbout(subject, job);
  return { begins: isOther ? job : null, failure: failureOf(subject, step) };
}

const isAbout = (subject: LogSubject | null, job: Pick<Job, 'rollout' | 'startedAtMs'>): boolean =>
  subject?.rollout === job.rollout && subject.startedAtMs === job.startedAtMs;

function failureOf(subject: LogSubject | null, { before, event, after }: UpdateStep) {
  const job = before.job ?? after.job;
  switch (event.kind) {
    case 'swap_failed':
    case 'unhealthy':
    case 'boots_exhausted':
    case 'looping':
    case 'rollback_failed':
    case 'rollback_exhausted':
      return job && inWords(job, event.problem);
    case 'refused':
      // A rollout that does not fit this robot, or that is tried again, has not failed.
      if (before.phase === 'checking' || mayRetry(event.problem)) return null;
      return job && inWords(job, event.problem);
    case 'fell_back':
      return before.installed && inWords(before.installed, event.problem);
    case 'power_returned':
      return subject === null || subject.isKept ? null : failedMeanwhile(subject, after);
    default:
      return null;
  }
}

/** The update went wrong while no agent could keep its log. */
function failedMeanwhile(subject: LogSubject, state: MachineState): UpdateFailure | null {
  const { job, lastProblem, lastUpdate, phase } = state;
  const { rollout, version } = subject;
  if (job && isAbout(subject, job)) {
    const goesBack = phase === 'rolling_back' || phase === 'reverting' || phase === 'stuck';
    const isRecall = job.cause?.code === 'ROLLOUT_RECALLED';
    return goesBack && job.cause && !isRecall ? inWords(job, job.cause) : null;
  }
  if (lastUpdate?.outcome !== 'rolled_back' || !isAbout(subject, lastUpdate)) return null;
  const code = lastUpdate.code ?? 'INTERNAL';
  const known = lastProblem?.version === version && lastProblem.code === code ? lastProblem : null;
  return { rollout, version, code, message: known?.message ?? '' };
}

const inWords = (
  { rollout, version }: Pick<Job, 'rollout' | 'version'>,
  { code, message }: Pick<Problem, 'code' | 'message'> | NonNullable<Job['cause']>,
): UpdateFailure => ({ rollout, version, code, message: failureText(message) });
