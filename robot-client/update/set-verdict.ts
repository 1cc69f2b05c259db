/**
 * Decides for one component of a set whether it goes on, waits, or goes back: a robot takes all
 * bundles of a set or none of them. The persisted states of the components are the only record, so
 * after a power cut the same states give the same answer. Sans-I/O.
 */

import type { RolloutSet, SetMember } from '../../shared/formats/announcement.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { compareReleases } from '../../shared/rules/release-identity.ts';
import { decideImageSet, isImageAtWork, isStillUp } from './image-set-verdict.ts';
import { blockAgainst, blockedOf, setFailed, type Elsewhere, type FailedMember } from './blocks.ts';
import type { MachineEvent } from './machine.ts';
import { STEP_WORDS, type MemberStep, type SetVerdict, type Steps } from './member-steps.ts';
import { isMidSwap } from './swap-order.ts';
import { isLostJob, payloadOf, type Job, type MachineState } from './state.ts';

/** Its version is blocked, or will be at the end of its way back. */
const BLOCKED: Steps = ['failed', 'undone_for_good', 'undoing', 'stuck'];
const SURE: Steps = ['sure', 'done', 'had'];
const SOUND: Steps = ['well', ...SURE];
const STAGED: Steps = ['staged', 'switching', 'trial', ...SOUND];
/** Before this component was switched: the set cannot succeed as things stand. */
const HOPELESS: Steps = ['missing', 'failed', 'undone_for_good', 'undoing', 'stuck'];
/** After it was switched: all were staged then, so another one has fallen behind. */
const FALLEN: Steps = [...HOPELESS, 'pending', 'undone'];
/** After it was confirmed: then another one was sure, and went back later. */
const TAKEN_BACK: Steps = ['undone', 'undone_for_good', 'undoing', 'stuck'];

/**
 * @param steps of all members, in the order in which they are switched
 * @param at the member that asks
 * @returns `go`: a staged one may be switched, a well one may be asked again, a sure one confirms.
 *   `back`: it is refused before it is switched, and goes back after that
 */
export function decideSet(steps: Steps, at: number): SetVerdict {
  const others = steps.filter((_, nth) => nth !== at);
  const some = (of: Steps): boolean => others.some((one) => of.includes(one));
  const all = (of: Steps): boolean => others.every((one) => of.includes(one));
  const areEarlierSound = steps.slice(0, at).every((one) => SOUND.includes(one));
  switch (steps[at]) {
    case 'pending':
      return some(HOPELESS) ? 'back' : 'wait';
    case 'staged':
      if (some(HOPELESS)) return 'back';
      return all(STAGED) && areEarlierSound ? 'go' : 'wait';
    case 'trial':
      return some(FALLEN) ? 'back' : 'wait';
    case 'well':
      if (some(FALLEN)) return 'back';
      return all(SOUND) ? 'go' : 'wait';
    case 'sure':
      if (some(FALLEN)) return 'back';
      return all(SURE) ? 'go' : 'wait';
    case 'done':
      return some(TAKEN_BACK) ? 'back' : 'wait';
    default:
      return 'wait';
  }
}

/** A component as the others of a set see it. */
export interface MemberView {
  readonly state: MachineState;
  /** Version that `active` leads to. */
  readonly active: string | null;
  readonly rollback: string | null;
  /** Code of why it is not known that `active` runs; null when it is. */
  readonly doubt: string | null;
  /** Its disk refused this state, so a power cut takes it back to an older one. */
  readonly isUnkept?: boolean;
  /** Absent for a component of this computer. */
  readonly elsewhere?: Elsewhere;
}

export const memberViewOf = (
  state: MachineState,
  { active, rollback }: Pick<MemberView, 'active' | 'rollback'>,
  doubt: string | null = null,
): MemberView => ({ state, active, rollback, doubt });

/** @param view undefined when the robot has no such component, null when it cannot be read now */
export function stepOf(member: SetMember, view: MemberView | null | undefined): MemberStep {
  if (!view) return view === null ? 'unknown' : 'missing';
  const { state } = view;
  const { job, phase, installed } = state;
  if (job && (isOf(job, member) || isFoundTrial(job, member))) return stepOfJob(phase, job);
  if (installed && isOf(installed, member)) return 'done';
  // The state of an update was lost, and what it brought is on trial.
  const isLost = job !== null && isLostJob(job) && job.version === member.version;
  if (isLost && phase === 'probation') return 'trial';
  if (phase === 'idle' && runsMember(member, view)) return view.doubt === null ? 'had' : 'unknown';
  const { version, payload_sha256: payloadSha256, rollout } = member;
  const isBlocked = blockAgainst(blockedOf(state), { version, payloadSha256, rollout });
  const { lastUpdate } = state;
  // A boot loader that leaves a confirmed image tells no update: the block is what is left of it.
  const hasFallen =
    lastUpdate?.outcome === 'installed' &&
    state.blocked.some(
      (one) => one.code === 'BOOT_FELL_BACK' && one.payloadSha256 === payloadSha256,
    );
  const isUndone =
    lastUpdate?.rollout === rollout &&
    (hasFallen || lastUpdate.outcome === 'rolled_back' || lastUpdate.outcome === 'recalled');
  if (job === null && isUndone) return isBlocked ? 'undone_for_good' : 'undone';
  return isBlocked ? 'failed' : 'pending';
}

/** A rollout id may be used again for other bytes. */
const isOf = (job: Job, member: SetMember): boolean =>
  job.rollout === member.rollout && job.payloadSha256 === member.payload_sha256;

/** A system image on trial whose state was lost: its slot says which set it was written for. */
const isFoundTrial = (job: Job, member: SetMember): boolean =>
  isLostJob(job) &&
  job.version === member.version &&
  job.set?.members.some(({ rollout }) => rollout === member.rollout) === true;

function stepOfJob(phase: MachineState['phase'], job: Job): MemberStep {
  switch (phase) {
    case 'waiting':
      return 'staged';
    case 'swapping':
      return 'switching';
    case 'rebooting':
      return job.follows === null ? 'switching' : 'parked';
    case 'probation':
      return job.health === 'unasked' ? 'trial' : job.health;
    case 'rolling_back':
    case 'reverting':
      return 'undoing';
    case 'stuck':
      return 'stuck';
    default:
      return 'pending';
  }
}

function runsMember(member: SetMember, { state, active }: MemberView): boolean {
  if (active === null) return false;
  const running = { version: active, payloadSha256: payloadOf(state, active) };
  return compareReleases(member, running) === 'same';
}

/** All components of this robot by name; null for one that cannot be read now. */
export type MemberViews = ReadonlyMap<string, MemberView | null>;

export interface SetState {
  /** Of all members, in the order of the set. */
  readonly steps: readonly MemberStep[];
  /** The member that asks. */
  readonly at: number;
  /** The member that is a system image, and a part of this update; null for none. */
  readonly image: number | null;
  readonly verdict: SetVerdict;
  /** Why it waits, for people. */
  readonly waitingFor: string;
  readonly problem: Problem;
}

/** The set that a component works on, or that brought what it runs; null for none. */
export function setOf({ job, installed, phase }: MachineState): RolloutSet | null {
  return (job ?? (phase === 'idle' ? installed : null))?.set ?? null;
}

const BEHIND: Steps = ['staged', 'switching', 'parked', 'trial'];

/** Null also for an image that ran before the set: nothing boots then. */
function imageAt({ image, members }: RolloutSet, steps: Steps): number | null {
  const found = members.findIndex(({ component }) => component === image);
  return found < 0 || steps[found] === 'had' ? null : found;
}

function decideMember(set: RolloutSet, steps: Steps, at: number): SetVerdict {
  const image = imageAt(set, steps);
  return image === null ? decideSet(steps, at) : decideImageSet(steps, at, image);
}

/**
 * The steps as the image sees them: a component that goes back because the image does not run is no
 * reason for the image, which finds out itself why it does not, and is blocked for it.
 */
function seenByImage(set: RolloutSet, steps: Steps, views: MemberViews): Steps {
  const own = steps[imageAt(set, steps) ?? -1];
  if (own !== 'switching' && own !== 'trial' && own !== 'done') return steps;
  return steps.map((step, nth) => {
    const job = views.get(set.members[nth]?.component ?? '')?.state.job;
    const isFollower = step === 'undoing' && job?.follows && job.cause?.code === 'SET_FAILED';
    return isFollower ? 'switching' : step;
  });
}

/**
 * Reads the verdict for a component from the states of all; null when it is in no set.
 * @param cause why the set goes back, as its leader says
 */
export function stateOfSet(
  component: string,
  views: MemberViews,
  cause: string | null = null,
): SetState | null {
  const own = views.get(component);
  const set = own ? setOf(own.state) : null;
  if (set === null) return null;
  const { members } = set;
  const at = members.findIndex((one) => one.component === component);
  const steps = members.map((member) => stepOf(member, views.get(member.component)));
  const others = members.flatMap((member, nth) => (nth === at ? [] : [{ member, nth }]));
  const told = (of: Steps): string =>
    others
      .filter(({ nth }) => of.includes(steps[nth] ?? 'missing'))
      .map(({ member }) => describe(member, steps[members.indexOf(member)], views))
      .join(', ');
  const behind = told(['unknown', 'pending', 'undone', ...BEHIND]);
  const why = cause ?? (told(FALLEN) || 'another component failed');
  const message = `take ${members[at]?.version ?? component} in set ${set.id}: ${why}`;
  return {
    ...{ steps, at, image: imageAt(set, steps) },
    verdict: decideMember(
      set,
      component === set.image ? seenByImage(set, steps, views) : steps,
      at,
    ),
    waitingFor: `set ${set.id}: ${behind || told(['well', 'sure', 'done', 'had'])}`,
    problem: setFailed(message, failedOf(others, steps, views)),
  };
}

/** The member whose failure takes the others back: one that went back by itself before all others. */
function failedOf(
  others: readonly { readonly member: SetMember; readonly nth: number }[],
  steps: Steps,
  views: MemberViews,
): FailedMember | null {
  const fallen = others.filter(({ nth }) => FALLEN.includes(steps[nth] ?? 'missing'));
  const told = fallen.map(({ member, nth }) => ({
    ...{ component: member.component, version: member.version },
    elsewhere: views.get(member.component)?.elsewhere,
    isBlocked: BLOCKED.includes(steps[nth] ?? 'missing'),
    code: failureCodeOf(member, views.get(member.component)?.state),
  }));
  return told.find(({ code }) => code !== null && code !== 'SET_FAILED') ?? told[0] ?? null;
}

/** Of this bundle: an older version of the component may have failed with another code. */
export function failureCodeOf(member: SetMember, state: MachineState | undefined): string | null {
  if (!state) return null;
  const { job, lastUpdate } = state;
  if (job && isOf(job, member)) return job.cause?.code ?? null;
  const { version, payload_sha256: payloadSha256, rollout } = member;
  const blocked = blockAgainst(blockedOf(state), { version, payloadSha256, rollout });
  const isOfLast = lastUpdate?.rollout === rollout && lastUpdate.version === version;
  return (isOfLast ? lastUpdate.code : null) ?? blocked?.code ?? null;
}

function describe(member: SetMember, step: MemberStep = 'missing', views: MemberViews): string {
  const { component, version } = member;
  const code = failureCodeOf(member, views.get(component)?.state);
  const because = FALLEN.includes(step) && code !== null ? ` (${code})` : '';
  return `${component} ${version} ${STEP_WORDS[step]}${because}`;
}

/**
 * The event that takes a component of a failed set back; null when there is none now. One that was
 * confirmed goes back as after a recall, to nothing when nothing ran before.
 */
export function setBackEvent(component: string, views: MemberViews): MachineEvent | null {
  const own = views.get(component);
  const found = stateOfSet(component, views);
  return own && found?.verdict === 'back' ? backEventOf(own, found.problem) : null;
}

export function backEventOf(own: MemberView, problem: Problem): MachineEvent | null {
  switch (own.state.phase) {
    case 'checking':
    case 'downloading':
    case 'verifying':
    case 'staging':
    case 'waiting':
      return { kind: 'refused', problem };
    case 'swapping':
    case 'rebooting':
      return { kind: 'swap_failed', problem };
    case 'probation':
      return { kind: 'unhealthy', problem };
    case 'idle':
      return canGoBack(own) ? { kind: 'recalled', problem } : null;
    default:
      return null;
  }
}

/** Why a confirmed release of a failed set stays all the same; null when it does not. */
export function staysBehind(component: string, views: MemberViews): Problem | null {
  const own = views.get(component);
  const found = stateOfSet(component, views);
  if (!own || own.state.phase !== 'idle' || found?.verdict !== 'back' || canGoBack(own))
    return null;
  const why = 'and there is no release to go back to';
  return toProblem(new DroverError('RECALL_IMPOSSIBLE', `${found.problem.message}, ${why}`));
}

/** True when what a confirmed release replaced is still there, or was nothing. */
export function canGoBack({ state, active, rollback }: MemberView): boolean {
  const { installed } = state;
  if (!installed || installed.version !== active) return false;
  return installed.previousVersion === null || installed.previousVersion === rollback;
}

/**
 * The component for which a confirmed set cannot be recalled: it has no release to go back to, and
 * the others must not go back without it. Null when all can.
 */
export function hindersRecall(component: string, views: MemberViews): string | null {
  const own = views.get(component);
  const set = own ? setOf(own.state) : null;
  const found = set?.members.find((member) => {
    const view = views.get(member.component);
    if (!view || stepOf(member, view) !== 'done') return false;
    const { installed } = view.state;
    return installed?.previousVersion === null || installed?.previousVersion !== view.rollback;
  });
  return found && found.component !== component ? found.component : null;
}

/** A component whose swap has begun holds all components of its set: they take nothing else. */
export function isHeldBySet(component: string, views: MemberViews): boolean {
  return [...views].some(([name, view]) => {
    if (name === component || !view) return false;
    const { job, phase } = view.state;
    return (
      isMidSwap(phase) && job?.set?.members.some((one) => one.component === component) === true
    );
  });
}

/**
 * True while the image of a set may still be booted or left: a component that follows it does not
 * end its way back before. An image that cannot go back is waited for by nobody.
 */
export function isImageOpen({ image, members }: RolloutSet, views: MemberViews): boolean {
  const member = members.find(({ component }) => component === image);
  const view = member && views.get(member.component);
  if (!member || view === undefined) return false;
  const step = stepOf(member, view);
  return isImageAtWork(step) && !(step === 'done' && view !== null && !canGoBack(view));
}

/** The component that a set with an image still has to stop before the image is left. */
function upBeside({ image, members }: RolloutSet, views: MemberViews): string | null {
  const found = members.find((member) => {
    const view = views.get(member.component);
    if (member.component === image || !view) return false;
    const step = stepOf(member, view);
    const isOnItsWay = step === 'done' && canGoBack(view);
    return isStillUp(step) || isOnItsWay || view.state.phase === 'rolling_back';
  });
  return found?.component ?? null;
}

/**
 * Members that are switched after this one go back before it. Of a set with a system image the
 * image goes back first, and the others are stopped before that.
 */
export function laterToGoBack(
  component: string,
  set: RolloutSet,
  views: MemberViews,
): string | null {
  if (component === set.image) return upBeside(set, views);
  if (views.get(component)?.state.job?.follows) return null;
  const at = set.members.findIndex((one) => one.component === component);
  const later = set.members.slice(at + 1).find((member) => {
    const step = stepOf(member, views.get(member.component));
    return ['switching', 'trial', 'well', 'sure', 'undoing'].includes(step);
  });
  return later?.component ?? null;
}
