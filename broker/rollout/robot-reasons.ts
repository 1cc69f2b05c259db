/**
 * Explains in a code and one sentence where a robot stands in a rollout. Codes of robots come from
 * the catalogue of errors; the few that are states and no errors are in REASON_CODES. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import type { RelayProblem } from '../../shared/formats/messages.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { stateWord } from '../../shared/rules/rollout-words.ts';
import { problemIn } from '../../shared/rules/worst-component.ts';
import type { RobotRecord } from '../control/fleet.ts';
import type { Member } from './classify.ts';
import type { RobotPlace } from './place-view.ts';
import type { RolloutRun } from './record.ts';

export interface RobotReason {
  readonly code: string;
  /** One sentence without a full stop. It may quote the robot. */
  readonly reason: string;
}

/** States of a robot that are no errors. docs/rollouts.md lists them. */
export const REASON_CODES = [
  'RUNS_IT',
  'WENT_ON',
  'WENT_BACK',
  'UPDATING',
  'PLACE_AWAITED',
  'PLACE_HELD',
  'VANISHED',
  'OFFLINE',
  'NOT_BEGUN',
  'WAVE_NOT_OPEN',
  'ROLLOUT_STOPPED',
] as const;
type ReasonCode = (typeof REASON_CODES)[number];

export interface ReasonFacts {
  readonly rollout: string;
  readonly version: string;
  readonly record: Pick<RobotRecord, 'online' | 'lastSeenMs'>;
  readonly wave: number | null;
  /** Its turn has come. */
  readonly isOpen: boolean;
  readonly relay: Pick<RelayProblem, 'code' | 'message'> | null;
  readonly run: (Pick<RolloutRun, 'rollout' | 'status'> & { readonly recall?: boolean }) | null;
  /** When the first robot may start; null or absent when robots may. */
  readonly start?: string | null;
  /** Of a budget: it has a place, or waits for one. */
  readonly place?: RobotPlace | null;
}

type Reasoned = Pick<Member, 'kind' | 'why' | 'component'> & Partial<Pick<Member, 'isComing'>>;

export function reasonOf(member: Reasoned, facts: ReasonFacts): RobotReason {
  const { component } = member;
  const { version } = facts;
  const say = (code: ReasonCode, reason: string): RobotReason => ({ code, reason });
  const now = component.version ?? 'nothing';
  switch (member.kind) {
    case 'installed':
      return running(member, facts);
    case 'went_on':
      return say('WENT_ON', `ran ${version} and went on to ${now}`);
    case 'recalled':
      return say('WENT_BACK', `was called back and runs ${now}`);
    case 'failed':
      return failure(member, facts, now);
    case 'vanished':
      return say('VANISHED', `went away while ${phase(member)}, ${lastSeen(facts)}`);
    case 'updating':
      return progress(member, facts);
    case 'excluded':
      return exclusion(member, facts, now);
    case 'candidate':
      return waiting(member, facts);
  }
}

/**
 * A rollout that goes back waits for it, and it goes back once it is online. A release may also run
 * without what it requires, because another component went back since: that is said, and the robot
 * is done all the same.
 */
function running({ component }: Reasoned, facts: ReasonFacts): RobotReason {
  const { version, record, run } = facts;
  if (run?.status !== 'rolling_back' || record.online) {
    const error = problemIn(component, facts);
    if (error?.code === 'REQUIRES_UNMET') return { code: error.code, reason: error.message };
    return { code: 'RUNS_IT', reason: `runs ${version}` };
  }
  return { code: 'OFFLINE', reason: `runs ${version} and is offline, ${lastSeen(facts)}` };
}

/** The error that ended the update, in the words of the robot where it still reports them. */
function failure({ component }: Reasoned, facts: ReasonFacts, now: string): RobotReason {
  const { last_update } = component;
  const last = last_update?.rollout === facts.rollout ? last_update : null;
  const error = problemIn(component, facts);
  const code = last?.code ?? error?.code ?? 'INTERNAL';
  if (error && (error.code === code || !last?.code))
    return { code: error.code, reason: error.message };
  const isBack = last?.outcome === 'rolled_back' ? `, and went back to ${now}` : '';
  return { code, reason: `its update ended with ${code}${isBack}` };
}

function progress(member: Reasoned, facts: ReasonFacts): RobotReason {
  const { waiting_for: wait } = member.component;
  const error = problemIn(member.component, facts);
  if (!facts.record.online) {
    return { code: 'OFFLINE', reason: `is offline while ${phase(member)}, ${lastSeen(facts)}` };
  }
  if (facts.relay) return { code: facts.relay.code, reason: `its relay: ${facts.relay.message}` };
  const doing = `is ${phase(member)}${wait ? `: ${wait}` : ''}`;
  if (error) return { code: error.code, reason: `${doing}; ${error.message}` };
  const { place = null } = facts;
  if (place === null) return { code: 'UPDATING', reason: doing };
  const isWaiting = place.code === 'PLACE_AWAITED';
  return { code: place.code, reason: isWaiting ? place.words : `${doing}; ${place.words}` };
}

/** `downloading, 43 %`. */
function phase({ component: { phase: name, transfer } }: Reasoned): string {
  const total = transfer?.bytes_total ?? 0;
  const isPart = name === 'downloading' && transfer && total > 0;
  const done = isPart
    ? `, ${Math.min(100, Math.floor((100 * transfer.bytes_done) / total))} %`
    : '';
  return name === 'probation' ? 'on probation' : `${name.replace('_', ' ')}${done}`;
}

function waiting({ component }: Reasoned, facts: ReasonFacts): RobotReason {
  const { record, run, isOpen, wave, relay } = facts;
  const { waiting_for: wait } = component;
  const error = problemIn(component, facts);
  const status = run?.status ?? 'rolling';
  if (status !== 'rolling' && status !== 'complete') {
    return {
      code: 'ROLLOUT_STOPPED',
      reason: `has not begun, and the rollout is ${run ? stateWord(run) : status}`,
    };
  }
  if (facts.start) return { code: 'START_AWAITED', reason: `it starts at ${facts.start}` };
  if (!isOpen) {
    const turn = wave === null ? 'no wave includes it' : `its turn comes with wave ${wave}`;
    return { code: 'WAVE_NOT_OPEN', reason: turn };
  }
  if (!record.online) return { code: 'OFFLINE', reason: `is offline, ${lastSeen(facts)}` };
  if (relay) return { code: relay.code, reason: `its relay: ${relay.message}` };
  if (error)
    return { code: error.code, reason: wait ? `${wait}; ${error.message}` : error.message };
  return { code: 'NOT_BEGUN', reason: wait ?? 'its turn has come, and it has not begun' };
}

function exclusion(
  { component, why, isComing }: Reasoned,
  facts: ReasonFacts,
  now: string,
): RobotReason {
  const { version } = facts;
  const code = why ?? 'INTERNAL';
  const error = problemIn(component, facts);
  if (error?.code === code) return { code, reason: error.message };
  return { code, reason: sentenceOf(code, { version, now, isComing: isComing === true }) };
}

function sentenceOf(
  code: string,
  { version, now, isComing }: { version: string; now: string; isComing: boolean },
): string {
  switch (code) {
    case 'RUNS_IT':
      return `runs ${version}, from another rollout`;
    case 'NOT_NEWER':
      return `runs ${now}, which is newer`;
    case 'BELOW_HIGHEST':
      return `has confirmed a higher version than ${version} before`;
    case 'VERSION_REUSED':
      return `runs another release that calls itself ${version}`;
    case 'TOO_OLD':
      return isComing
        ? `runs ${now}, which is too old; another rollout brings it near`
        : `runs ${now}, which is too old for ${version}`;
    case 'ARCH_WRONG':
      return 'has another processor architecture';
    case 'COMPATIBLE_WRONG':
      return 'is another kind of machine';
    case 'REQUIRES_UNMET':
      return 'has not what it requires of another component';
    case 'REQUIRES_UNKNOWN':
      return 'does not know what runs of another component that it requires';
    case 'MANIFEST_INVALID':
      return 'has an agent that does not know requires, and refuses the manifest';
    case 'MODULE_MISSING':
      return 'has no module that applies it';
    case 'FAILED_BEFORE':
      return `has ${version} blocked, because it failed there before`;
    default:
      return `cannot take it: ${hintOf(code)}`;
  }
}

const hintOf = (code: string): string =>
  code in CATALOGUE ? CATALOGUE[code as keyof typeof CATALOGUE].hint : code;

const lastSeen = ({ record: { lastSeenMs } }: ReasonFacts): string =>
  lastSeenMs === null
    ? 'and has said nothing since the broker started'
    : `last heard ${instantText(lastSeenMs)}`;
