/**
 * A set whose components are on several computers of a robot. Their states lie on several disks, so
 * the states alone decide nothing: the leader of the robot decides, keeps each decision on its disk
 * before anybody acts on it, and every component follows that (robot-client/members/commit.ts).
 * This file has the rules of one component: when it may still decide alone, and how it follows.
 * Sans-I/O.
 */

import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { compareVersions } from '../../shared/base/version.ts';
import type { MachineEvent } from './machine.ts';
import type { MemberStep, SetVerdict } from './member-steps.ts';
import {
  backEventOf,
  canGoBack,
  setOf,
  stateOfSet,
  type MemberViews,
  type SetState,
} from './set-verdict.ts';

/**
 * The decision that a component is bound to, as far as this computer knows:
 * - `unheard`: nothing came from the leader since the start of this agent
 * - `prepare`: not taken yet
 * - `switch`: all are switched, and confirmed when all are healthy
 * - `confirm`: all are confirmed
 * - `back`: all go back, or stay as they are. An id that is not in the record of the leader is
 *   this: it never decided to switch, or all ended it long ago.
 * - `lost`: the record with this id was lost, and the leader does not know yet what it was
 */
export type CommitDecision = 'unheard' | 'prepare' | 'switch' | 'confirm' | 'back' | 'lost';

/** - `release`: the component was not switched, and may decide alone again */
export type JointVerdict = SetVerdict | 'release';

/** The other computers of the robot, and the decisions about all of them. */
export interface JointSide {
  /** The components on other computers; null for one whose computer never reported. */
  readonly views: MemberViews;
  /** True when this computer may not know all components of the robot: it is not the leader. */
  readonly isMember: boolean;
  /** The computer for which such a set waits; null when all are there. */
  awayFor(set: RolloutSet): string | null;
  decisionOn(commitId: string): CommitDecision;
  /** Why a decision is `back`, for people; null when that is not known. */
  causeOf(commitId: string): string | null;
  /** Id of a decision about this set for which the component has to say that it is prepared. */
  openFor(set: RolloutSet, component: string): string | null;
  /** True when the leader decided that all of a confirmed set goes back. */
  isRecalled(set: RolloutSet): boolean;
}

/**
 * The verdict about one component of a set over several computers.
 * @param verdict the one of the states of all, which may be old: it orders the steps, and decides
 *   alone only about a component that has promised nothing
 */
export function jointVerdict(
  { step, commitId }: { readonly step: MemberStep; readonly commitId: string | null },
  verdict: SetVerdict,
  decision: CommitDecision,
): JointVerdict {
  switch (step) {
    case 'pending':
      return verdict === 'back' ? 'back' : 'wait';
    case 'staged':
      if (commitId === null) return verdict === 'back' ? 'back' : 'wait';
      if (decision === 'back') return 'release';
      return decision === 'switch' && verdict === 'go' ? 'go' : 'wait';
    case 'switching':
    case 'trial':
      return decision === 'back' ? 'back' : 'wait';
    case 'well':
      if (decision === 'back') return 'back';
      return decision === 'switch' && verdict === 'go' ? 'go' : 'wait';
    case 'sure':
      if (decision === 'back') return 'back';
      return decision === 'confirm' ? 'go' : 'wait';
    default:
      return 'wait';
  }
}

/** True when a component of the set is, or may be, on another computer. */
export function spans(set: RolloutSet, joint: JointSide, local: ReadonlySet<string>): boolean {
  return set.members.some(
    ({ component }) => !local.has(component) && (joint.isMember || joint.views.has(component)),
  );
}

/** Adds the components of other computers; null for those of a set that never reported. */
export function viewsOfAll(local: MemberViews, joint: JointSide): MemberViews {
  const all = new Map([...joint.views, ...local]);
  if (!joint.isMember) return all;
  for (const view of local.values()) {
    for (const { component } of (view && setOf(view.state))?.members ?? []) {
      if (!all.has(component)) all.set(component, null);
    }
  }
  return all;
}

export interface JointState extends Pick<SetState, 'steps' | 'at' | 'image'> {
  readonly verdict: JointVerdict;
  readonly waitingFor: string;
  readonly problem: Problem;
  readonly set: RolloutSet;
  readonly commitId: string | null;
}

function causeFor(commitId: string, joint: JointSide | null): string | null {
  if (joint?.decisionOn(commitId) !== 'back') return null;
  return joint.causeOf(commitId) ?? 'the leader of this robot took no such decision';
}

function undecidedText({ id }: RolloutSet, decision: CommitDecision): string | null {
  if (decision === 'unheard' || decision === 'prepare')
    return `set ${id}: the decision of the leader`;
  if (decision !== 'lost') return null;
  return `set ${id}: all computers, since the record of its decision was lost (DECISION_LOST)`;
}

/** Null when the component is in no set, or in one of this computer alone, and not bound. */
export function jointStateOf(
  component: string,
  { views, joint, local }: JointViews,
): JointState | null {
  const own = views.get(component);
  const set = own ? setOf(own.state) : null;
  if (!own || set === null) return null;
  const commitId = own.state.job?.commitId ?? null;
  // One that is bound follows its leader alone, also while this computer leads no members, or does
  // not know the others of the set: a pair file may be damaged.
  if (commitId === null && (joint === null || !spans(set, joint, local))) return null;
  const found = stateOfSet(component, views, commitId === null ? null : causeFor(commitId, joint));
  if (found === null) return null;
  const step = found.steps[found.at] ?? 'missing';
  const decision = commitId === null ? 'back' : (joint?.decisionOn(commitId) ?? 'unheard');
  const undecided = commitId !== null && undecidedText(set, decision);
  const waitingFor = joint?.awayFor(set) ?? (undecided || found.waitingFor);
  const verdict = jointVerdict({ step, commitId }, found.verdict, decision);
  return { ...found, verdict, waitingFor, set, commitId };
}

/**
 * Why a component is behind a set that its robot has confirmed: its computer was replaced, or its
 * disk. Null when it is not.
 */
export function behindOf(component: string, { views, joint, local }: JointViews): Problem | null {
  const own = views.get(component);
  if (!own || joint === null || own.state.phase !== 'idle') return null;
  for (const [name, view] of views) {
    const set = name === component ? null : (view?.state.installed?.set ?? null);
    if (set === null || view?.state.phase !== 'idle' || !spans(set, joint, local)) continue;
    const version = set.members.find((one) => one.component === component)?.version;
    if (version === undefined) continue;
    if (own.active !== null && compareVersions(own.active, version) >= 0) continue;
    const message = `run ${component} ${own.active ?? 'nothing'}: set ${set.id} has brought ${version}, and ${name} runs it`;
    return toProblem(new DroverError('MEMBER_BEHIND', message));
  }
  return null;
}

export interface JointViews {
  /** Of all computers. */
  readonly views: MemberViews;
  /** Null on a robot of one computer. */
  readonly joint: JointSide | null;
  /** Components of this computer. */
  readonly local: ReadonlySet<string>;
}

/** The event that takes a component back by decision of the leader; null when there is none. */
export function jointBackEvent(component: string, on: JointViews): MachineEvent | null {
  const own = on.views.get(component);
  const found = jointStateOf(component, on);
  if (!own || !found) return null;
  const { set, verdict } = found;
  if (own.state.phase !== 'idle') {
    return verdict === 'back' ? backEventOf(own, found.problem) : null;
  }
  if (on.joint?.isRecalled(set) !== true || own.state.installed === null || !canGoBack(own)) {
    return null;
  }
  const message = `keep ${own.active}: set ${set.id} was taken back on all computers of this robot`;
  return { kind: 'recalled', problem: toProblem(new DroverError('ROLLOUT_RECALLED', message)) };
}
