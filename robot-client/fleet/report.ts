/** The stage report: builds the state message of a robot. Sans-I/O. */

import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { failureHint, failureText } from '../../shared/base/redact.ts';
import {
  toldPhase,
  type RobotPhase,
  type ComponentStateFields,
  type RefusedProgressFields,
  type RobotEventFields,
  type RobotStateFields,
  type WantFields,
} from '../../shared/formats/messages.ts';
import type { Left } from '../install/prune-plan.ts';
import type { Damage } from '../install/seal.ts';
import { activeProblem, slotProblem, type Slots } from '../install/slots.ts';
import { doubtIn } from '../../shared/rules/running-version.ts';
import { blockedForAll } from '../update/blocks.ts';
import { FOR_OTHERS } from '../update/verdict.ts';
import { rolloutOf } from '../update/lost-state.ts';
import { memberViewOf, type MemberView } from '../update/set-verdict.ts';
import { isLostJob, payloadOf, type LastUpdate, type MachineState } from '../update/state.ts';
import type { Stint } from './usage.ts';

export const iso = (ms: EpochMs): string => new Date(ms).toISOString();

/** The activity of a component that its state file does not hold. */
export interface Live {
  readonly transfer: { bytesDone: number; bytesTotal: number; chunksFetched: number } | null;
  readonly waitingFor: string | null;
  readonly wakeAtMs: EpochMs | null;
  /** Why nothing was taken from the last announcement; null when nothing was refused. */
  readonly refusal: { version: string | null; problem: Problem; atMs: EpochMs } | null;
  /** Why it stays on a recalled version, or on one that lacks what it requires; else null. */
  readonly stays?: { problem: Problem; atMs: EpochMs } | null;
  /**
   * Why what a module looks after is not what `active` names; null when it is. Absent until the
   * first answer after a start.
   */
  readonly module?: { problem: Problem; atMs: EpochMs } | null;
}

/** A component that does nothing and waits for nothing. */
export const QUIET: Live = { transfer: null, waitingFor: null, wakeAtMs: null, refusal: null };

export interface ComponentView {
  readonly name: string;
  readonly version: string | null;
  readonly previousVersion: string | null;
  readonly slots: Slots;
  /** Since when the slots are as they are. */
  readonly slotsSinceMs: EpochMs;
  /** Strategy of the active release when a module applies it; null for another, or unknown. */
  readonly module?: string | null;
  /** Entries of releases/ to which no slot leads. */
  readonly left: readonly Left[];
  /** A release in a slot that is not whole; null when none is known. */
  readonly damage?: Damage | null;
  readonly state: MachineState;
  readonly live: Live;
  /** Why what the root says is not known; null or absent when it is. */
  readonly closed?: Problem | null;
  /** Why nothing may be swapped; null when it may. */
  readonly held?: Held | null;
  /** The ready leases of its applications that run; null or absent without one. */
  readonly leases?: string | null;
  /** Names its question for a place of a budget; null or absent while it asks none. */
  readonly placeAskedAtMs?: EpochMs | null;
  /** Its clock, with which no place of a budget is in time; null or absent when none shows that. */
  readonly clock?: Held | null;
  /** Why the disk does not have the state of the machine; null when it has. */
  readonly unkept?: Held | null;
  /** The expired trust root, with which nothing new is taken; null while it is valid. */
  readonly expired?: Held | null;
  /** Another user may change what its updates run or trust; absent when none can. */
  readonly exposed?: Held | null;
  /** A folder of PATH that is left out; updates begin all the same. Absent when none is. */
  readonly searched?: Held | null;
  /** Why its computer does not lead the others of the robot as it should; null when it does. */
  readonly computers?: Held | null;
  /** Why a rollout for it cannot be followed; null or absent when all can. */
  readonly unheard?: Held | null;
  /** The log of its last failed update, where the robot hands that over. */
  readonly failureLog?: FailureLogTold | null;
}

/** A log of a failed update that is kept on the robot. */
export interface FailureLogTold {
  readonly rollout: string;
  readonly version: string;
  readonly code: string;
  /** RFC 3339, when the update failed. */
  readonly at: string;
  /** Compressed. */
  readonly bytes: number;
}

export interface Held {
  readonly problem: Problem;
  readonly atMs: EpochMs;
}

/** Counters of the robot that no component has. */
export interface Counted {
  readonly epoch: string;
  told(component: string): readonly Stint[];
}

/** A robot that cannot be asked whether it is busy counts as busy. */
export const busyWhile = ({ problem }: Held) => ({ ready: false, reason: problem.message });

/** The component as the others of its set see it. @param state as the machine has it */
export const boardView = (state: MachineState, view: ComponentView): MemberView => ({
  ...memberViewOf(state, { active: view.version, rollback: view.previousVersion }, doubtOf(view)),
  ...(view.unkept && { isUnkept: true }),
});

export function reportComponent(view: ComponentView): ComponentStateFields {
  const { state, live } = view;
  const { transfer } = live;
  const doubt = doubtOf(view);
  return {
    name: view.name,
    version: view.version,
    ...(doubt !== null && { version_doubt: doubt }),
    previous_version: view.previousVersion,
    payload_sha256: payloadOf(state, view.version),
    phase: toldPhase(state.phase),
    rollout: rolloutOf(state.job),
    target_version: state.job?.version ?? null,
    transfer: transfer && {
      bytes_done: transfer.bytesDone,
      bytes_total: transfer.bytesTotal,
      chunks_fetched: transfer.chunksFetched,
    },
    delta: reportDelta(state.job),
    waiting_for: live.waitingFor === null ? null : failureText(live.waitingFor),
    wake_at: live.wakeAtMs === null ? null : iso(live.wakeAtMs),
    ...(typeof view.placeAskedAtMs === 'number' && { place_asked_at: iso(view.placeAskedAtMs) }),
    last_error: lastError(view),
    blocked: blockedForAll(state.blocked).map((one) => one.version),
    highest_version: state.highest,
    last_update: state.lastUpdate && reportUpdate(state.lastUpdate),
    strategy: strategyTold(state, view.version) ?? view.module ?? null,
    ...(view.failureLog ? { failure_log: view.failureLog } : {}),
  };
}

/** Code of why it is not known that `version` runs; null when it is. [P-8.14] */
export function doubtOf({ closed, slots, module, state, live }: ComponentView): string | null {
  const inRoot = closed ?? activeProblem(slots);
  if (inRoot) return inRoot.code;
  // After a start a module, or the boot loader, has to be asked first.
  const isUnasked = live.module === undefined && (module ?? null) !== null;
  if (isUnasked && state.phase === 'idle') return 'MODULE_UNKNOWN';
  return doubtIn(live.module?.problem.code ?? null);
}

/**
 * The strategy of the release that runs. Null where it is not known: the state was lost, or the
 * release was adopted.
 */
function strategyTold({ job, installed }: MachineState, active: string | null): string | null {
  const about = [installed, job].find((one) => one && one.version === active);
  return about && !isLostJob(about) ? about.strategy : null;
}

function reportUpdate(last: LastUpdate) {
  return {
    rollout: last.rollout,
    version: last.version,
    outcome: last.outcome,
    code: last.code,
    started_at: iso(last.startedAtMs),
    ended_at: iso(last.endedAtMs),
    took_s: (last.endedAtMs - last.startedAtMs) / 1000,
    bytes: last.bytes,
    delta_from: last.deltaFrom,
    delta_failed: last.deltaFailed,
  };
}

function reportDelta(job: MachineState['job']) {
  const [from, failed] = [job?.delta?.fromVersion ?? null, job?.deltaFailed ?? null];
  return from === null && failed === null ? null : { from, failed };
}

type Failure = NonNullable<MachineState['lastProblem'] | Live['refusal']>;

function latest(state: MachineState, live: Live): Failure | null {
  const { lastProblem } = state;
  if (!lastProblem) return live.refusal;
  if (!live.refusal) return lastProblem;
  // "Failed before" says less than the failure itself.
  const isEcho = live.refusal.problem.code === 'FAILED_BEFORE';
  if (isEcho && live.refusal.version === lastProblem.version) return lastProblem;
  // A rollout for other robots says nothing about this one; a failure here does.
  if (FOR_OTHERS.some((code) => code === live.refusal?.problem.code)) return lastProblem;
  return live.refusal.atMs > lastProblem.atMs ? live.refusal : lastProblem;
}

/** A problem that blocks everything comes before a single failure. */
function lastError(view: ComponentView) {
  const { slots, slotsSinceMs, damage, state, live } = view;
  const inSlots = slotProblem(slots);
  if (inSlots) return reportFailure({ ...inSlots, version: null, atMs: slotsSinceMs });
  // With its version: a robot that lost files of what runs does not count as running it.
  if (damage) return reportFailure({ ...damage, atMs: slotsSinceMs });
  const { held, unkept, exposed, expired, clock, computers, searched } = view;
  const ofRelease = live.stays ?? live.module;
  const standing = held ?? unkept ?? ofRelease ?? exposed ?? expired ?? clock;
  if (standing) return reportFailure({ ...standing, version: null });
  const failure = latest(state, live);
  if (view.unheard && view.unheard.atMs >= (failure?.atMs ?? 0))
    return reportFailure({ ...view.unheard, version: null });
  if (failure) return reportFailure(failure);
  // Last: they stand for long, and would hide why an update of this component failed.
  const lasting = computers ?? searched;
  return lasting ? reportFailure({ ...lasting, version: null }) : null;
}

function reportFailure(failure: Failure) {
  const { code, message, hint } = 'problem' in failure ? failure.problem : failure;
  return {
    code,
    message: failureText(message),
    hint: failureHint(hint),
    version: failure.version,
    at: iso(failure.atMs),
  };
}

export interface RobotFactsForReport {
  readonly robot: RobotId;
  readonly agent: string;
  /** Name of this start of the agent. */
  readonly instance: string;
  /** Links in a row that the broker ended; 0 when not suspicious. */
  readonly endings: number;
  readonly arch: string;
  readonly model: string;
  readonly tags: readonly string[];
  /** Its optional abilities. */
  readonly caps: readonly string[];
  readonly compatible: readonly string[];
  readonly modules: readonly string[];
  readonly trustVersion: number;
  /** When the trust expires, while that is soon or past; null otherwise. */
  readonly trustEndsMs: EpochMs | null;
  /** The same for its certificate, where it was not renewed; null without one. */
  readonly certificateEndsMs?: EpochMs | null;
  readonly announcementSeq: number;
  readonly progressRefused: RefusedProgressFields;
  readonly metrics: Readonly<Record<string, number>>;
}

/** The components of other computers of the robot, as these report them. */
export interface ToldElsewhere {
  readonly told: readonly ComponentStateFields[];
  /** Changes when counters of one of them begin from zero. */
  readonly countedBy: string;
}

interface Beside {
  readonly counted: Counted;
  readonly now: EpochMs;
  readonly elsewhere?: ToldElsewhere | undefined;
}

export function reportRobot(
  facts: RobotFactsForReport,
  components: readonly ComponentView[],
  { counted, now, elsewhere }: Beside,
): RobotStateFields {
  const own = components.map((view) => ({
    ...reportComponent(view),
    usage: [...counted.told(view.name)],
  }));
  return {
    robot_id: facts.robot,
    at: iso(now),
    agent: facts.agent,
    arch: facts.arch,
    model: facts.model,
    tags: [...facts.tags],
    caps: [...facts.caps],
    ...(facts.compatible.length > 0 ? { compatible: [...facts.compatible] } : {}),
    ...(facts.modules.length > 0 ? { modules: [...facts.modules] } : {}),
    trust_version: facts.trustVersion,
    ...(facts.trustEndsMs !== null ? { trust_expires_at: iso(facts.trustEndsMs) } : {}),
    ...(typeof facts.certificateEndsMs === 'number' && {
      certificate_expires_at: iso(facts.certificateEndsMs),
    }),
    announcement_seq: facts.announcementSeq,
    ...(facts.progressRefused.length > 0 ? { progress_refused: [...facts.progressRefused] } : {}),
    components: [...own, ...(elsewhere?.told ?? [])],
    metrics: { ...facts.metrics },
    counter_epoch: epochOf(counted.epoch, elsewhere?.countedBy ?? ''),
    instance: facts.instance,
    ...(facts.endings > 0 ? { link_endings: facts.endings } : {}),
  };
}

/** One epoch for the counters of all computers: it is compared, and never read. */
const epochOf = (own: string, others: string): string =>
  others === ''
    ? own
    : sha256Hex(new TextEncoder().encode(`${own},${others}`)).slice(0, own.length);

/** The request of a robot that is too old for an announcement: a full package that it can take. */
export function reportWant(input: {
  robot: RobotId;
  arch: string;
  component: string;
  version: string | null;
  wanted: { version: string; minCurrentVersion: string };
  now: EpochMs;
}): WantFields {
  return {
    robot_id: input.robot,
    at: iso(input.now),
    package: {
      component: input.component,
      arch: input.arch,
      current_version: input.version,
      wanted_version: input.wanted.version,
      min_current_version: input.wanted.minCurrentVersion,
    },
  };
}

/** One transition, for the audit log. The outbox adds `event_seq`. */
export function reportTransition(input: {
  robot: RobotId;
  component: string;
  event: string;
  from: RobotPhase;
  before: MachineState;
  after: MachineState;
  version: string | null;
  problem: Problem | null;
  now: EpochMs;
}): Omit<RobotEventFields, 'event_seq'> {
  const job = input.after.job ?? input.before.job;
  return {
    robot_id: input.robot,
    at: iso(input.now),
    component: input.component,
    from: toldPhase(input.from),
    to: toldPhase(input.after.phase),
    event: input.event,
    version: input.version,
    target_version: job?.version ?? null,
    rollout: rolloutOf(job),
    problem: input.problem && {
      code: input.problem.code,
      message: failureText(input.problem.message),
      hint: failureHint(input.problem.hint),
    },
  };
}
