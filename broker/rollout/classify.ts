/**
 * Classifies each robot for one rollout, from what it reports: updating, installed, failed and so
 * on. Pure, and the only file that says `failed`: gate, listing and command line count by it. A
 * report can be false, so what is derived here moves the rollout only towards waiting or halting;
 * a robot decides itself what it installs, from signed documents.
 * Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { ComponentState, RobotState } from '../../shared/formats/messages.ts';
import { runningRelease, runsRelease } from '../../shared/rules/release-identity.ts';
import {
  cohortFraction,
  isCanary,
  isTargeted,
  machineOf,
  unfitFor,
  type Unfit,
} from '../../shared/rules/rollout-rules.ts';
import {
  diskCode,
  isUnableCode,
  standstillOf,
  type UnableCode,
} from '../../shared/rules/standstill.ts';
import { logRefusalOf, type LogRefusal } from '../../shared/tlog/logged.ts';
import { isLedTo, type Offer } from '../../shared/rules/stepping-stones.ts';
import { compareVersions } from '../../shared/base/version.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { besidesOf, offerOf, type RolloutPlan } from './record.ts';

export type MemberKind =
  /** Runs the version because of this rollout. */
  | 'installed'
  /** Ran it because of this rollout, kept it, and runs a higher version by now. */
  | 'went_on'
  /** Is between taking and confirming it. */
  | 'updating'
  /** Was `updating` and has been away for longer than the gate allows. */
  | 'vanished'
  | 'failed'
  /** Had the version and went back. */
  | 'recalled'
  /** Could take it and has not begun: its wave is not open, it is away, or it is about to. */
  | 'candidate'
  /** Targeted, but will not take the version; `why` gives the reason. No failure of the version. */
  | 'excluded';

/** Why a robot is excluded. `RUNS_IT`: it has this version from another rollout. */
export type Exclusion =
  | Unfit
  | 'FAILED_BEFORE'
  | 'SET_INCOMPLETE'
  | 'REQUIRES_UNKNOWN'
  | 'REQUIRES_BROKEN'
  | LogRefusal
  | typeof DAMAGED
  | UnableCode;

/** The robot would take the version, and cannot until a person fixes what its code names. */
export const isUnable = ({ why }: Pick<Class, 'why'>): boolean =>
  isUnableCode(why) || why === DAMAGED;

/** It runs the version from a release that lost files, and may not start again. */
const DAMAGED = 'RELEASE_DAMAGED';

/** The robot took the version and kept it, whatever it runs now. */
export const hasTakenIt = ({ kind }: Pick<Class, 'kind'>): boolean =>
  kind === 'installed' || kind === 'went_on';

/** How a robot once ended this rollout; later updates must not erase it. */
export type RobotEnding = 'installed' | 'failed';

export interface Class {
  readonly kind: MemberKind;
  /** Set for `excluded`. */
  readonly why: Exclusion | null;
}

/** The facts of a member by which it is counted. */
export type MemberClass = Pick<
  Member,
  'kind' | 'why' | 'online' | 'isCanary' | 'isComing' | 'fraction'
>;

export interface Member {
  readonly robot: RobotId;
  readonly kind: MemberKind;
  /** Set for `excluded`. */
  readonly why: Exclusion | null;
  /** 0 to 1: its place in the order of the waves. */
  readonly fraction: number;
  readonly isCanary: boolean;
  readonly online: boolean;
  /** Too old for the version, and another announced rollout leads there. */
  readonly isComing: boolean;
  readonly component: ComponentState;
  readonly counterEpoch: string;
}

export interface MembersInput {
  readonly plan: Pick<RolloutPlan, 'rollout' | 'manifest'>;
  readonly robots: readonly RobotRecord[];
  readonly now: EpochMs;
  /** A robot that has not reported since then counts as last seen then. */
  readonly watchedSinceMs: EpochMs;
  /** All announced rollouts; absent when `isComing` does not matter. */
  readonly plans?: ReadonlyMap<string, RolloutPlan>;
  /** How each robot ended this rollout before; absent when nothing was recorded. */
  readonly marks?: ReadonlyMap<RobotId, { readonly outcome: RobotEnding | null }> | undefined;
}

/** The robots that a rollout targets and that have this component, in the order of the robots. */
export function membersOf(input: MembersInput): Member[] {
  const context = contextOf(input);
  return input.robots.flatMap((record) => memberOf(record, context) ?? []);
}

/** The facts of one rollout that are the same for every robot. */
export interface MemberContext extends Omit<MembersInput, 'robots'> {
  readonly offer: Offer;
  readonly beside: readonly Offer[];
  readonly to: AskedRelease;
  readonly logged: Parameters<typeof logRefusalOf>[0];
}

export function contextOf(input: Omit<MembersInput, 'robots'>): MemberContext {
  const { plan, plans = new Map<string, RolloutPlan>() } = input;
  const { id } = plan.rollout;
  const { version, payload_sha256 } = plan.manifest;
  const offer = offerOf(plan);
  return {
    ...{ ...input, offer, beside: besidesOf(plans, id) },
    to: { rollout: id, version, payload_sha256, set: plan.rollout.set },
    logged: { ...offer, version },
  };
}

/**
 * @param known its fraction, where it was computed before: that is one hash
 * @returns null for a robot that is no member
 */
export function memberOf(
  record: RobotRecord,
  context: MemberContext,
  known?: number,
): Member | null {
  const { rollout, manifest } = context.plan;
  const { offer, beside, marks } = context;
  const { state, robot } = record;
  const component = state?.components.find((one) => one.name === manifest.name);
  if (!state || !component) return null;
  const { arch, tags } = state;
  if (!isTargeted(rollout, { robot, arch, tags })) return null;
  const now = classify(component, context.to, state.components);
  const isGone = now.kind === 'updating' && hasVanished(record, context);
  const why = now.kind === 'candidate' ? whyNot(state, component, context) : null;
  const reported = why === null ? now : excluded(why);
  const kept = withMemory(reported, marks?.get(robot)?.outcome ?? null);
  return {
    robot,
    kind: isGone ? 'vanished' : kept.kind,
    why: kept.why,
    fraction: known ?? cohortFraction(rollout.salt, robot),
    isCanary: isCanary(rollout, { robot, tags }),
    online: record.online,
    isComing: reported.why === 'TOO_OLD' && isLedTo(offer, beside, state),
    component,
    counterEpoch: state.counter_epoch,
  };
}

/** Why a robot that has not begun will not: in the order in which the robot checks. */
function whyNot(
  state: RobotState,
  component: ComponentState,
  { plan: { rollout, manifest }, logged }: MemberContext,
): Exclusion | null {
  const { arch, caps } = state;
  const { last_error, strategy, highest_version: highest } = component;
  const running = runningRelease(component);
  const machine = machineOf(state, rollout.set ?? null);
  const unfit = unfitFor(manifest, { arch, running, highest, strategy, ...machine });
  if (unfit !== null && unfit !== 'TOO_OLD') return unfit;
  const alone = logRefusalOf(logged, { caps, last_error }) ?? unfit ?? standstillOf(component);
  return (
    alone ??
    requiresRefusalOf(component, manifest.version) ??
    setRefusalOf(rollout, component, manifest.version)
  );
}

/** The robot knows more of its components than it reports: what each of them requires. */
function requiresRefusalOf(
  { last_error: told }: ComponentState,
  version: string,
): 'REQUIRES_UNKNOWN' | 'REQUIRES_BROKEN' | null {
  if (told?.version !== version) return null;
  const { code } = told;
  return code === 'REQUIRES_UNKNOWN' || code === 'REQUIRES_BROKEN' ? code : null;
}

/** Answers of a robot that takes no part in a set as things stand. */
const SET_REFUSALS: readonly string[] = [
  'SET_INCOMPLETE',
  'SET_FAILED',
  'SET_MIXED',
  'SET_IMAGE_UNREADY',
];

/**
 * The robot lacks another component of the set, or that one refuses its bundle, or the robot cannot
 * follow the system image of the set.
 */
function setRefusalOf(
  { set }: Pick<RolloutPlan['rollout'], 'set'>,
  { last_error: told }: ComponentState,
  version: string,
): 'SET_INCOMPLETE' | null {
  if (!set || !told || told.version !== version) return null;
  return SET_REFUSALS.includes(told.code) ? 'SET_INCOMPLETE' : null;
}

const excluded = (why: Exclusion): Class => ({ kind: 'excluded', why });

/**
 * A report names only the last update. A robot that took this version or failed at it, and has gone
 * on to another since, still counts for its wave.
 */
function withMemory(reported: Class, outcome: RobotEnding | null): Class {
  const { kind, why } = reported;
  if (kind !== 'excluded' || outcome === null) return reported;
  if (why === 'NOT_NEWER') return { kind: outcome === 'failed' ? 'failed' : 'went_on', why: null };
  // A newer rollout was recalled, and the robot runs this version again.
  if (why === 'RUNS_IT' && outcome === 'installed') return { kind: 'installed', why: null };
  const isOwn = why === 'FAILED_BEFORE' || why === 'BELOW_HIGHEST';
  return isOwn && outcome === 'failed' ? { kind: 'failed', why: null } : reported;
}

/** Codes that end an update and say nothing about the version: the robot retries, or never may. */
const NO_FAILURE: readonly string[] = [
  'READY_DEADLINE',
  'READY_LEASE_LOST',
  'NOT_NEWER',
  'BELOW_HIGHEST',
  'RELEASE_BOUNDS',
  'LOG_PROOF_MISSING',
  'LOG_PROOF_INVALID',
  'TOO_OLD',
  'ARCH_WRONG',
  'COMPATIBLE_WRONG',
  'REQUIRES_UNMET',
  'REQUIRES_UNKNOWN',
  'REQUIRES_BROKEN',
  'STRATEGY_CHANGED',
  'MODULE_MISSING',
  'BOOT_MISSING',
  'SET_MIXED',
  'SET_IMAGE_UNREADY',
  'MODULE_UNFIT',
  'MODULE_BUSY',
  'FAILED_BEFORE',
  'VERSION_REUSED',
];

/** The release that a robot is asked to take. */
export interface AskedRelease {
  readonly rollout: string;
  readonly version: string;
  /** Absent when only the version is known. */
  readonly payload_sha256?: string;
  readonly set?: RolloutSet | undefined;
}

/**
 * Classifies a component by its report, for this rollout.
 * @param beside all components of the robot; absent when the rollout is in no set
 */
export function classify(
  component: ComponentState,
  to: AskedRelease,
  beside: readonly ComponentState[] = [],
): Class {
  const { rollout, version, payload_sha256 } = to;
  const last = component.last_update;
  const disk = last?.rollout === rollout ? diskCode(last.code) : null;
  if (component.rollout === rollout && component.phase !== 'idle') {
    if (isStuck(component)) return { kind: 'failed', why: null };
    // The robot checks every few minutes whether there is room.
    if (component.phase === 'checking' && disk !== null) return excluded(disk);
    // Nothing was swapped, and nothing will be: it delays no other robot.
    const still = standstillOf(component);
    if (BEFORE_SWAP.includes(component.phase) && still !== null) return excluded(still);
    return { kind: 'updating', why: null };
  }
  const isAlike =
    payload_sha256 === undefined
      ? component.version === version
      : runsRelease(component, { version, payload_sha256 });
  if (isAlike && isDamaged(component)) return excluded(DAMAGED);
  if (isAlike && tookIt(component, rollout, version)) return { kind: 'installed', why: null };
  const isOver = last?.rollout === rollout && last.outcome !== 'installed';
  const isRecalled = last?.outcome === 'recalled' || last?.code === RECALLED;
  if (isOver && (isRecalled || wentWithSet(last, to, beside))) {
    return { kind: 'recalled', why: null };
  }
  if (isOver && disk !== null && !isAlike) return excluded(disk);
  if (isOver && !NO_FAILURE.includes(last.code ?? '')) return { kind: 'failed', why: null };
  if (isAlike) return excluded('RUNS_IT');
  if (hasGoneOn(component, rollout, version)) return { kind: 'went_on', why: null };
  if (component.blocked.includes(version)) return excluded('FAILED_BEFORE');
  return { kind: 'candidate', why: null };
}

/** Agents of 0.1 do not say which release they mean: it may be that of `rollback`. */
const isDamaged = ({ version, last_error: told }: ComponentState): boolean =>
  told?.code === DAMAGED && told.version === version;

const RECALLED = 'ROLLOUT_RECALLED';

/**
 * It went back because another component of its set was called back: no failure of this version.
 * Agents of 0.1 report that as `SET_FAILED`, like a failure of the other one.
 */
function wentWithSet(
  { code }: Pick<NonNullable<ComponentState['last_update']>, 'code'>,
  { rollout, set }: AskedRelease,
  beside: readonly ComponentState[],
): boolean {
  if (code !== 'SET_FAILED' || !set) return false;
  const codes = set.members.flatMap((member) => {
    const other = beside.find(({ name }) => name === member.component);
    return other && member.rollout !== rollout ? (endingIn(other, member.rollout) ?? []) : [];
  });
  return codes.includes(RECALLED) && codes.every((one) => [RECALLED, code].includes(one));
}

/** The code by which an update ended, or is about to; null for none of this rollout. */
function endingIn(
  { phase, rollout: busy, last_error, last_update: last }: ComponentState,
  rollout: string,
): string | null {
  if (busy === rollout && phase === 'rolling_back') return last_error?.code ?? null;
  return last?.rollout === rollout ? (last.code ?? null) : null;
}

/** Phases of an update that has changed nothing yet. */
export const BEFORE_SWAP: readonly string[] = [
  'checking',
  'downloading',
  'verifying',
  'staging',
  'waiting',
] satisfies readonly ComponentState['phase'][];

/** Neither the new version nor the one before starts: a failure long before the update ends. */
export const isStuck = ({ phase, last_error }: ComponentState): boolean =>
  phase === 'stuck' || (phase === 'rolling_back' && last_error?.code === 'ROLLBACK_FAILED');

/** Runs the version, and this rollout brought it. */
export function tookIt(component: ComponentState, rollout: string, version: string): boolean {
  if (component.version !== version) return false;
  const stint = component.usage[0];
  if (stint?.version === version && stint.rollout !== undefined) return stint.rollout === rollout;
  const last = component.last_update;
  return last?.rollout === rollout && last.outcome === 'installed';
}

/** Runs a higher version, and before it kept this one, which this rollout brought. */
function hasGoneOn(component: ComponentState, rollout: string, version: string): boolean {
  const { version: running, highest_version: highest, blocked, usage } = component;
  if (running === null || compareVersions(running, version) <= 0) return false;
  // An agent of 0.1 does not tell the highest that it confirmed.
  const isConfirmed = highest === null || highest === undefined;
  if (!isConfirmed && compareVersions(highest, version) < 0) return false;
  if (blocked.includes(version)) return false;
  return usage.some((stint) => stint.version === version && stint.rollout === rollout);
}

function hasVanished(record: RobotRecord, { plan, now, watchedSinceMs }: MemberContext): boolean {
  if (record.online) return false;
  return isOverdue(seenMs(record, watchedSinceMs), plan, now);
}

/** When a robot counts as last seen. */
export const seenMs = ({ lastSeenMs }: RobotRecord, watchedSinceMs: EpochMs): EpochMs =>
  Math.max(lastSeenMs ?? 0, watchedSinceMs);

/** True when a robot that left in mid-update has been away for longer than the gate allows. */
export const isOverdue = (
  lastSeenMs: EpochMs,
  { rollout }: MembersInput['plan'],
  now: EpochMs,
): boolean => now - lastSeenMs > rollout.gates.vanish_s * 1000;
