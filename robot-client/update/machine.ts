/**
 * Everything that can happen to a component of a robot. If it is not in TABLE, it cannot happen.
 * (state, event, now) -> (state, effects as data). The runner persists the state, then runs the
 * effects, then reports: every effect may run twice and must be idempotent, and every phase has a
 * `power_returned` row that runs its effect again. Sans-I/O.
 */

import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import type { BootMoment } from '../boot/boot-slots.ts';
import { counted, startsSpent, switchedIn, wellAgain, type StartedBy } from './probation.ts';
import { patchLoop, withoutDelta } from './delta.ts';
import { stuckWaitMs, reliedOn, withLoss, type LeaseLost } from './retry.ts';
import { afterRollback, confirmed, ended, failing, finished, mayRetry, noted } from './endings.ts';
import { afterSlotEvent, withTold, type SlotEvent } from './slot-state.ts';
import { wayBackIn, type WayBack } from './way-back-plan.ts';
import type { DeltaOffer, Follows } from './job-parts.ts';
import { isBound, withCommit, withConfirmed, type Job, type MachineState } from './state.ts';

// prettier-ignore
export const TABLE = {
  idle:         { offered: 'checking', recalled: 'rolling_back', fell_back: 'idle', trial_found: 'probation', power_returned: 'idle' },
  checking:     { fits: 'downloading', delta_failed: 'checking', refused: 'idle', superseded: 'checking', withdrawn: 'idle', held: 'idle', looping: 'idle', power_returned: 'checking' },
  downloading:  { downloaded: 'verifying', delta_failed: 'downloading', refused: 'idle', superseded: 'checking', withdrawn: 'idle', held: 'idle', looping: 'idle', power_returned: 'downloading' },
  verifying:    { intact: 'staging', corrupt: 'downloading', delta_failed: 'downloading', refused: 'idle', superseded: 'checking', withdrawn: 'idle', held: 'idle', looping: 'idle', power_returned: 'verifying' },
  staging:      { staged: 'waiting', delta_failed: 'downloading', refused: 'idle', superseded: 'checking', withdrawn: 'idle', held: 'idle', looping: 'idle', power_returned: 'staging' },
  waiting:      { prepared: 'waiting', released: 'waiting', ready: 'swapping', refused: 'idle', superseded: 'checking', withdrawn: 'idle', held: 'idle', looping: 'idle', power_returned: 'waiting' },
  swapping:     { swapped: 'probation', reboot_due: 'rebooting', lease_lost: 'waiting', swap_failed: 'rolling_back', looping: 'rolling_back', power_returned: 'swapping' },
  rebooting:    { told: 'rebooting', swapped: 'probation', lease_lost: 'waiting', swap_failed: 'rolling_back', looping: 'rolling_back', power_returned: 'rebooting' },
  probation:    { well: 'probation', healthy: 'idle', unhealthy: 'rolling_back', boots_exhausted: 'rolling_back', recalled: 'rolling_back', looping: 'rolling_back', power_returned: 'probation' },
  rolling_back: { rolled_back: 'idle', reboot_due: 'reverting', rollback_failed: 'rolling_back', rollback_exhausted: 'stuck', looping: 'stuck', power_returned: 'rolling_back' },
  reverting:    { told: 'reverting', rolled_back: 'idle', rollback_failed: 'reverting', rollback_exhausted: 'stuck', looping: 'stuck', power_returned: 'reverting' },
  stuck:        { retried: 'rolling_back', offered: 'checking', power_returned: 'stuck' },
} as const satisfies Readonly<Record<RobotPhase, Readonly<Record<string, RobotPhase>> & { power_returned: RobotPhase }>>;

export type MachineEvent =
  | { readonly kind: 'offered' | 'superseded'; readonly job: Job }
  | {
      readonly kind:
        | 'refused'
        | 'delta_failed'
        | 'corrupt'
        | 'swap_failed'
        | 'unhealthy'
        | 'boots_exhausted'
        | 'rollback_failed'
        | 'rollback_exhausted'
        | 'looping';
      readonly problem: Problem;
    }
  /** `by`: the keys that signed the progress of the recall. */
  | { readonly kind: 'recalled'; readonly problem: Problem; readonly by?: readonly string[] }
  /** With the delta that is to be taken; without one it is the full payload. */
  | { readonly kind: 'fits'; readonly delta?: DeltaOffer | null }
  | ({
      readonly kind: 'ready';
      readonly holders?: readonly string[];
      /** The slots that its links follow; absent or null for none. */
      readonly follows?: Follows | null;
    } & WayBack)
  | LeaseLost
  | SlotEvent
  /** The decision of this id about a set over several computers binds the component from here on. */
  | { readonly kind: 'prepared'; readonly commitId: string }
  /** With the version that runs again, when it is not the one of the job. */
  | { readonly kind: 'rolled_back'; readonly to?: string | null }
  /** `at`: null or left out where the kernel does not name its boots. */
  | { readonly kind: 'power_returned'; readonly by: StartedBy; readonly at?: BootMoment | null }
  /** `at`: given by the agent; a boot in which `recover` switched is counted by the agent. */
  | { readonly kind: 'swapped'; readonly at?: BootMoment | null }
  | {
      readonly kind:
        | 'downloaded'
        | 'intact'
        | 'staged'
        | 'well'
        | 'healthy'
        | 'withdrawn'
        | 'held'
        | 'retried'
        /** The decision that it was prepared for was never taken. */
        | 'released';
    };

/** The runner's action on entering a phase. All are idempotent. */
export type Effect =
  | { readonly kind: 'check'; readonly job: Job }
  | { readonly kind: 'download'; readonly job: Job }
  | { readonly kind: 'verify'; readonly job: Job }
  | { readonly kind: 'stage'; readonly job: Job }
  | { readonly kind: 'askReady'; readonly job: Job }
  /** `isAgain`: an agent that ran before may have stopped or switched something. */
  | { readonly kind: 'swap'; readonly job: Job; readonly isAgain: boolean }
  | { readonly kind: 'bootOther'; readonly job: Job }
  | { readonly kind: 'probe'; readonly job: Job }
  /** Of a set: waits until all are as far, then asks `health` once more, or confirms. */
  | { readonly kind: 'awaitSet'; readonly job: Job }
  | { readonly kind: 'rollBack' | 'bootBack'; readonly job: Job; readonly inMs: number }
  /** Ends in `retried`: the obstacle to a rollback may be gone by then. */
  | { readonly kind: 'waitStuck'; readonly job: Job; readonly inMs: number }
  | { readonly kind: 'cleanUp' | 'settle' };

export interface Step {
  readonly state: MachineState;
  readonly effects: readonly Effect[];
}

export function accepts(phase: RobotPhase, kind: MachineEvent['kind']): boolean {
  return Object.hasOwn(TABLE[phase], kind);
}

/** @throws TypeError for a pair outside the table: our bug, nothing was changed */
export function step(state: MachineState, event: MachineEvent, now: EpochMs): Step {
  const row: Readonly<Record<string, RobotPhase>> = TABLE[state.phase];
  const phase = Object.hasOwn(row, event.kind) ? row[event.kind] : undefined;
  if (phase === undefined) {
    throw new TypeError(`machine: event ${event.kind} cannot happen in phase ${state.phase}`);
  }
  const next = count({ ...remember(state, event, now), phase }, event);
  return { state: next, effects: effectsOf(next, event.kind === 'power_returned') };
}

/** The event of a start of `recover` or of the agent, given the boots and starts that were counted. */
export function powerEvent(
  state: MachineState,
  by: StartedBy,
  { bootsMax, at = null }: { readonly bootsMax: number; readonly at?: BootMoment | null },
): MachineEvent {
  const loop = by === 'agent' ? patchLoop(state) : null;
  if (loop) return { kind: 'delta_failed', problem: loop };
  const spent = startsSpent(state, { by, at, bootsMax });
  return spent ? { kind: 'boots_exhausted', problem: spent } : { kind: 'power_returned', by, at };
}

/** The event of a failed rollback: another attempt, or a call for a person. */
export function rollbackFailure(state: MachineState, problem: Problem): MachineEvent {
  const attempts = (state.job?.rollbackAttempts ?? 0) + 1;
  const kind = attempts >= LIMITS.rollbackAttemptsMax ? 'rollback_exhausted' : 'rollback_failed';
  return { kind, problem };
}

/** The event of a wrong payload: once more from the start, or the end of this bundle. */
export function payloadFailure(state: MachineState, problem: Problem): MachineEvent {
  const count = (state.job?.corruptCount ?? 0) + 1;
  return { kind: count >= LIMITS.verifyAttemptsMax ? 'refused' : 'corrupt', problem };
}

/** A job that writes its state more often than any honest one is going in circles. */
export function isLooping(state: MachineState): boolean {
  return !isBound(state) && (state.job?.persists ?? 0) >= LIMITS.persistsPerJobMax;
}

/** The event to take: a job that runs in a loop ends, unless the event ends it anyway. */
export function orLoop(state: MachineState, event: MachineEvent): MachineEvent {
  if (event.kind === 'superseded' || event.kind === 'withdrawn') return event;
  if (!isLooping(state) || !accepts(state.phase, 'looping')) return event;
  return { kind: 'looping', problem: loopProblem(state) };
}

export function loopProblem(state: MachineState): Problem {
  const writes = state.job?.persists ?? 0;
  return problemOf(
    'LOOP_STOPPED',
    `update to ${state.job?.version}: ${writes} steps without an end`,
  );
}

function problemOf(code: Problem['code'], message: string): Problem {
  return { code, message, hint: CATALOGUE[code].hint };
}

function count(state: MachineState, { kind }: MachineEvent): MachineState {
  // A set waits for a busy computer as long as it takes; each round has a time of its own.
  if (!state.job || kind === 'prepared' || kind === 'released') return state;
  return { ...state, job: { ...state.job, persists: state.job.persists + 1 } };
}

/** The data that an event changes; the phase is the table's business. */
function remember(state: MachineState, event: MachineEvent, now: EpochMs): MachineState {
  const { job } = state;
  switch (event.kind) {
    case 'offered':
    case 'superseded':
      return { ...state, job: event.job };
    case 'fits':
      return job ? { ...state, job: { ...job, delta: event.delta ?? null } } : state;
    case 'delta_failed':
      return withoutDelta(state, event.problem);
    case 'prepared':
    case 'released':
      return withCommit(state, event.kind === 'prepared' ? event.commitId : null);
    case 'ready':
      return job ? { ...state, job: { ...job, ...begun(event) } } : state;
    case 'lease_lost':
      return noted(withLoss(state, event), event.problem, now);
    case 'corrupt':
      return noted(corruptAgain(state), event.problem, now);
    case 'refused':
      return ended(state, event.problem, now, mayRetry(event.problem));
    case 'looping':
      return looped(state, event.problem, now);
    case 'reboot_due':
    case 'told':
    case 'fell_back':
    case 'trial_found':
      return afterSlotEvent(state, event, now);
    case 'recalled':
      return recalled(withConfirmed(state, state.job ? null : state.installed), event, now);
    case 'swap_failed':
    case 'unhealthy':
    case 'boots_exhausted':
      return failing(state, event.problem, now);
    case 'rollback_failed':
    case 'rollback_exhausted':
      return noted(triedAgain(state), event.problem, now);
    case 'rolled_back':
      return afterRollback(state, event.to ?? state.job?.previousVersion ?? null, now);
    case 'well':
      return job ? { ...state, job: wellAgain(job) } : state;
    case 'healthy':
      return finished(confirmed(state), job, { outcome: 'installed', code: null, now });
    case 'withdrawn':
      return { ...state, job: null };
    case 'held':
      return held(state);
    case 'retried':
      return retried(state);
    case 'swapped':
      return job ? { ...state, job: switchedIn(job, event.at ?? null) } : state;
    case 'power_returned':
      return counted(state, event);
    default:
      return state;
  }
}

const corruptAgain = (state: MachineState): MachineState =>
  state.job ? { ...state, job: { ...state.job, corruptCount: state.job.corruptCount + 1 } } : state;

/** Facts of the moment in which an application may be stopped. */
const begun = (event: Extract<MachineEvent, { kind: 'ready' }>) => ({
  ...wayBackIn(event),
  ...reliedOn(event),
  follows: event.follows ?? null,
});

function looped(state: MachineState, problem: Problem, now: EpochMs): MachineState {
  switch (state.phase) {
    case 'rolling_back':
    case 'reverting':
      // `stuck` keeps its job: a person has to know what was to be undone.
      return noted(state, problem, now);
    case 'swapping':
    case 'rebooting':
    case 'probation':
      return failing(state, problem, now);
    default:
      return ended(state, problem, now, false);
  }
}

function triedAgain(state: MachineState): MachineState {
  const { job } = state;
  if (!job) return state;
  const rollbackAttempts = job.rollbackAttempts + 1;
  return withTold({ ...state, job: { ...job, rollbackAttempts } }, null);
}

/** Counting from the start again: the wait bounds the rate instead of the count. */
function retried(state: MachineState): MachineState {
  const { job } = state;
  if (!job) return state;
  const stuckCount = job.stuckCount + 1;
  return { ...state, job: { ...job, rollbackAttempts: 0, persists: 0, stuckCount } };
}

/** Paused, not over: the retry entry keeps what was downloaded from being cleaned up. */
function held(state: MachineState): MachineState {
  const { job } = state;
  if (!job) return state;
  const retry = { payloadSha256: job.payloadSha256, attempts: 0, notBeforeMs: 0 };
  return { ...state, job: null, retry };
}

/** The job that brought the active version is resumed, to be undone. */
function recalled(
  state: MachineState,
  { problem, by }: Extract<MachineEvent, { kind: 'recalled' }>,
  now: EpochMs,
): MachineState {
  const job = state.job ?? state.installed;
  if (!job) throw new TypeError('machine: nothing was installed that could be recalled');
  const again = {
    ...job,
    ...(by && { by: [...by] }),
    rollbackAttempts: 0,
    stuckCount: 0,
    persists: 0,
    startedAtMs: now,
  };
  return failing({ ...state, job: again }, problem, now);
}

function effectsOf(state: MachineState, isAgain: boolean): readonly Effect[] {
  const { job, phase } = state;
  if (phase === 'idle') return [{ kind: 'cleanUp' }, { kind: 'settle' }];
  if (!job) throw new TypeError(`machine: phase ${phase} without a job`);
  switch (phase) {
    case 'checking':
      return [{ kind: 'check', job }];
    case 'downloading':
      return [{ kind: 'download', job }];
    case 'verifying':
      return [{ kind: 'verify', job }];
    case 'staging':
      return [{ kind: 'stage', job }];
    case 'waiting':
      return [{ kind: 'askReady', job }];
    case 'swapping':
      return [{ kind: 'swap', job, isAgain }];
    case 'probation':
      return [{ kind: job.health === 'unasked' ? 'probe' : 'awaitSet', job }];
    case 'rebooting':
      return [{ kind: 'bootOther', job }];
    case 'rolling_back':
      return [{ kind: 'rollBack', job, inMs: job.rollbackAttempts * LIMITS.retryDelayMsMin }];
    case 'reverting':
      return [{ kind: 'bootBack', job, inMs: job.rollbackAttempts * LIMITS.retryDelayMsMin }];
    case 'stuck':
      return [{ kind: 'waitStuck', job, inMs: stuckWaitMs(job) }];
  }
}
