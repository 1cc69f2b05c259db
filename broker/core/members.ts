/**
 * What each robot is to one rollout, from what it reports: meant at all, its turn, begun, ended and
 * how. Pure. A report can be false, so what is derived here moves the rollout only towards waiting
 * or halting; who may install is decided on the robot from signed documents.
 */

import { archFits } from '../../shared/arch.ts';
import { cohortFraction } from '../../shared/cohort.ts';
import type { EpochMs, RobotId } from '../../shared/ids.ts';
import type { ComponentState } from '../../shared/messages.ts';
import { runsRelease } from '../../shared/release-identity.ts';
import { versionIsNewer, versionMeets } from '../../shared/version.ts';
import type { RobotRecord } from './fleet.ts';
import type { Plan, RolloutRun } from './rollout-run.ts';

export type MemberKind =
  /** Runs the version because of this rollout. */
  | 'installed'
  /** Is between taking and confirming it. */
  | 'updating'
  /** Was `updating` and has been away for longer than the gate allows. */
  | 'vanished'
  | 'failed'
  /** Had it and gave it back. */
  | 'recalled'
  /** Could take it and has not begun: its wave is not open, it is away, or it is about to. */
  | 'candidate'
  /** Meant, but it will not take it: newer already, too old, or the bundle failed there before. */
  | 'excluded';

export interface Member {
  readonly robot: RobotId;
  readonly kind: MemberKind;
  /** 0 to 1: its place in the order of the waves. */
  readonly fraction: number;
  readonly isCanary: boolean;
  readonly online: boolean;
  readonly component: ComponentState;
  readonly counterEpoch: string;
}

export interface MembersInput {
  readonly plan: Plan;
  readonly robots: readonly RobotRecord[];
  readonly now: EpochMs;
  /** A robot that has said nothing since then counts as last seen then. */
  readonly watchedSinceMs: EpochMs;
}

/** The robots that a rollout means and that have this component, in the order of the robots. */
export function membersOf(input: MembersInput): Member[] {
  const { plan, robots } = input;
  return robots.flatMap((record) => {
    const { state } = record;
    const component = state?.components.find((one) => one.name === plan.manifest.name);
    if (!state || !component || !isMeant(plan, record)) return [];
    return {
      robot: record.robot,
      kind: kindOf(component, record, input),
      fraction: cohortFraction(plan.rollout.salt, record.robot),
      isCanary: isCanary(plan, record),
      online: record.online,
      component,
      counterEpoch: state.counter_epoch,
    };
  });
}

/** True for a robot whose turn has come. */
export function hasTurn(member: Member, threshold: number): boolean {
  return member.isCanary || member.fraction < threshold;
}

/** Runs the version, and this rollout brought it. */
export function tookIt(component: ComponentState, rollout: string, version: string): boolean {
  if (component.version !== version) return false;
  const stint = component.usage[0];
  if (stint?.version === version && stint.rollout !== undefined) return stint.rollout === rollout;
  const last = component.last_update;
  return last?.rollout === rollout && last.outcome === 'installed';
}

/** Robots that run the version because of this rollout, or are about to: those a recall is for. */
export function countToRecall(run: RolloutRun, robots: readonly RobotRecord[]): number {
  return robots.filter(({ state }) => {
    const component = state?.components.find((one) => one.name === run.component);
    if (!component) return false;
    const isUpdating = component.rollout === run.rollout && component.phase !== 'idle';
    return isUpdating || tookIt(component, run.rollout, run.version);
  }).length;
}

function isMeant({ rollout, manifest }: Plan, { robot, state }: RobotRecord): boolean {
  const { target } = rollout;
  if (!state || !archFits(manifest.target_arch, state.arch)) return false;
  if (target.arch !== undefined && !archFits(target.arch, state.arch)) return false;
  if (target.robots.length > 0 && !target.robots.includes(robot)) return false;
  return target.tags.every((tag) => state.tags.includes(tag));
}

function isCanary({ rollout }: Plan, { robot, state }: RobotRecord): boolean {
  const { robots, tags } = rollout.canaries;
  if (robots.includes(robot)) return true;
  return tags.length > 0 && tags.every((tag) => state?.tags.includes(tag) === true);
}

function kindOf(component: ComponentState, record: RobotRecord, input: MembersInput): MemberKind {
  const { rollout, manifest } = input.plan;
  const { version } = manifest;
  if (component.rollout === rollout.id && component.phase !== 'idle') {
    return hasVanished(record, input) ? 'vanished' : 'updating';
  }
  if (tookIt(component, rollout.id, version) && runsRelease(component, manifest)) {
    return 'installed';
  }
  const last = component.last_update;
  const isOver = last?.rollout === rollout.id && last.outcome !== 'installed';
  // A robot that stays busy says nothing about the version, and tries again by itself.
  if (isOver && last.code !== 'READY_DEADLINE') {
    return last.outcome === 'recalled' ? 'recalled' : 'failed';
  }
  if (component.version !== null) {
    if (!versionIsNewer(version, component.version)) return 'excluded';
    if (!versionMeets(component.version, manifest.min_current_version)) return 'excluded';
  }
  return component.blocked.includes(version) ? 'excluded' : 'candidate';
}

function hasVanished(record: RobotRecord, { plan, now, watchedSinceMs }: MembersInput): boolean {
  if (record.online) return false;
  const lastSeenMs = Math.max(record.lastSeenMs ?? 0, watchedSinceMs);
  return now - lastSeenMs > plan.rollout.gates.vanish_s * 1000;
}
