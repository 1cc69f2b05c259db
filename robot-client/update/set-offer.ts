/**
 * Decides whether a robot takes a set at all: each component judges the bundles of the others by
 * their facts, so all of them come to one answer before a byte is downloaded. Sans-I/O.
 */

import type {
  Announcement,
  Rollout,
  RolloutSet,
  SetMember,
} from '../../shared/formats/announcement.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { compareReleases } from '../../shared/rules/release-identity.ts';
import { ATOMIC_SWAP, moduleOf, SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { setFailed } from './blocks.ts';
import type { Job } from './state.ts';
import { FOR_OTHERS, type OtherFacts, type RobotFacts, type Verdict } from './verdict.ts';

type Taken = Extract<Verdict, { kind: 'take' }>;

export interface SetOffer {
  readonly announcement: Pick<Announcement, 'rollouts'>;
  readonly rollout: Rollout;
  readonly facts: Pick<RobotFacts, 'component' | 'others'>;
  judgeFor(other: Rollout, about: OtherFacts): Verdict;
}

/**
 * [P-10.6]
 * @param taken the verdict about the bundle of this component alone
 * @returns `taken` when all others of the set are taken as well, or run here already
 */
export function judgeSet(taken: Taken, set: RolloutSet, offer: SetOffer): Verdict {
  const { job } = taken;
  const { component } = offer.facts;
  const own = set.members.find((one) => one.rollout === job.rollout);
  const isOwn = own?.component === component && own.payload_sha256 === job.payloadSha256;
  const names = new Set(set.members.map((one) => one.component));
  const no = (code: ErrorCode, why: string, failed?: SetMember): Verdict => {
    const message = `take ${component} ${job.version} in set ${set.id}: ${why}`;
    const problem =
      code === 'SET_FAILED'
        ? setFailed(message, failed ? { ...failed, elsewhere: placeOf(failed, offer) } : null)
        : toProblem(new DroverError(code, message));
    return { kind: 'refuse', version: job.version, problem };
  };
  if (!isOwn || names.size < set.members.length) {
    return no('SET_INCOMPLETE', 'the set does not name this bundle, or a component twice');
  }
  const isJoint = set.members.some((one) => offer.facts.others?.get(one.component)?.elsewhere);
  const unfit = unfitBeside(job, component, set) ?? (isJoint && unfitOverComputers(job, component));
  if (unfit) return no(unfit.code, unfit.why);
  for (const member of set.members) {
    if (member === own) continue;
    const verdict = judgeMember(member, offer, no);
    if (verdict?.kind === 'wait') return { ...verdict, version: job.version };
    if (verdict) return verdict;
  }
  return taken;
}

const placeOf = ({ component }: SetMember, { facts }: SetOffer) =>
  facts.others?.get(component)?.elsewhere;

/**
 * A set names its one system image, since the boot of an image switches all of it. A module
 * switches outside of the links that follow a boot. [P-10.7]
 */
function unfitBeside(
  { strategy }: Pick<Job, 'strategy'>,
  component: string,
  { image }: RolloutSet,
) {
  const isImage = strategy === SLOT_IMAGE;
  if (isImage && image !== undefined && image !== component) {
    return { code: 'SET_MIXED', why: `${component} is a second system image` } as const;
  }
  if (isImage !== (image === component)) {
    const why = `it names ${image ?? 'no component'} as its system image, and not ${component}`;
    return { code: 'SET_INCOMPLETE', why: isImage ? why : `${component} is no image` } as const;
  }
  if (image === undefined || moduleOf(strategy) === null) return null;
  return { code: 'SET_MIXED', why: `${component} is applied by ${strategy}` } as const;
}

/** The decision of the leader is followed by one rename on each computer. */
function unfitOverComputers({ strategy }: Pick<Job, 'strategy'>, component: string) {
  if (strategy === ATOMIC_SWAP) return null;
  const why = `${component} is applied by ${strategy}, in a set over several computers`;
  return { code: 'SET_MIXED', why } as const;
}

/** @returns null for a bundle that is taken, or runs here */
function judgeMember(
  member: SetMember,
  { announcement, rollout, facts, judgeFor }: SetOffer,
  no: (code: ErrorCode, why: string, failed?: SetMember) => Verdict,
): Verdict | null {
  const { component, version, payload_sha256: payload } = member;
  const about = facts.others?.get(component);
  if (about === undefined) return no('SET_INCOMPLETE', `this robot has no component ${component}`);
  if (about === null) return no('SET_INCOMPLETE', `component ${component} cannot be read now`);
  const { payloadSha256 = null } = about;
  const running = about.version !== null && { version: about.version, payloadSha256 };
  if (running && compareReleases(member, running) === 'same') return null;
  const other = announcement.rollouts.find(({ id }) => id === member.rollout);
  if (!other) return no('SET_INCOMPLETE', `rollout ${member.rollout} is not announced`);
  const verdict = judgeFor(other, about);
  switch (verdict.kind) {
    case 'take': {
      const { set } = rollout;
      const unfit = set && unfitBeside(verdict.job, component, set);
      if (unfit) return no(unfit.code, unfit.why);
      return verdict.job.payloadSha256 === payload
        ? null
        : no('SET_INCOMPLETE', `rollout ${member.rollout} has another payload than the set names`);
    }
    case 'runs':
      return null;
    case 'wait':
      return verdict;
    case 'notForUs':
      return no('SET_INCOMPLETE', `rollout ${member.rollout} is not for ${component} here`);
    case 'refuse': {
      const { code, message } = verdict.problem;
      const isForOthers = code !== 'NOT_NEWER' && FOR_OTHERS.some((one) => one === code);
      const told = `${component} ${version}: `;
      // It begins with the same words, and is repeated inside of another message here.
      const why = message.startsWith(`take ${told}`)
        ? message.slice('take '.length)
        : told + message;
      return no(isForOthers ? code : 'SET_FAILED', `${why} (${code})`, member);
    }
  }
}
