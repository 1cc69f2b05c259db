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
  const no = (code: ErrorCode, why: string): Verdict => {
    const message = `take ${component} ${job.version} in set ${set.id}: ${why}`;
    return {
      kind: 'refuse',
      version: job.version,
      problem: toProblem(new DroverError(code, message)),
    };
  };
  if (!isOwn || names.size < set.members.length) {
    return no('SET_INCOMPLETE', 'the set does not name this bundle, or a component twice');
  }
  for (const member of set.members) {
    if (member === own) continue;
    const verdict = judgeMember(member, offer, no);
    if (verdict?.kind === 'wait') return { ...verdict, version: job.version };
    if (verdict) return verdict;
  }
  return taken;
}

/** @returns null for a bundle that is taken, or runs here */
function judgeMember(
  member: SetMember,
  { announcement, facts, judgeFor }: SetOffer,
  no: (code: ErrorCode, why: string) => Verdict,
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
    case 'take':
      return verdict.job.payloadSha256 === payload
        ? null
        : no('SET_INCOMPLETE', `rollout ${member.rollout} has another payload than the set names`);
    case 'runs':
      return null;
    case 'wait':
      return verdict;
    case 'notForUs':
      return no('SET_INCOMPLETE', `rollout ${member.rollout} is not for ${component} here`);
    case 'refuse': {
      const { code, message } = verdict.problem;
      const isForOthers = code !== 'NOT_NEWER' && FOR_OTHERS.some((one) => one === code);
      return no(isForOthers ? code : 'SET_FAILED', `${component} ${version}: ${message} (${code})`);
    }
  }
}
