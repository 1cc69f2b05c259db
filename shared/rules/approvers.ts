/**
 * Decides whose approvals open a wave that needs several people: different users, none of whom
 * published the rollout. The controller obeys it, the publisher asks by it, and all tell it with
 * the same words. A user name is that of the broker's credentials, compared as it is written.
 * Sans-I/O.
 */

import type { ErrorCode } from '../base/error-catalogue.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import type { Rollout } from '../formats/announcement.ts';

/** The fields of a rollout that name how many have to approve, and who may not. */
export type ApproverRules = Pick<Rollout, 'approvers' | 'published_by'>;

/** One user has always been enough; only a rollout that asks for more counts users. [P-6.10] */
export const needsSeveral = ({ approvers }: Pick<ApproverRules, 'approvers'>): boolean =>
  approvers > 1;

export type Approved =
  /** Counts; `users` are all that have approved. */
  | { readonly kind: 'counts'; readonly users: readonly string[]; readonly isEnough: boolean }
  /** This user has approved before. */
  | { readonly kind: 'again' }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly why: string };

/**
 * Counts the approval of one user. [P-6.10]
 * @param before users that have approved this wave
 * @param user null for a request that no credential names
 */
export function countApproval(
  rules: ApproverRules,
  before: readonly string[],
  user: string | null,
): Approved {
  const { published_by: publisher } = rules;
  const refused = (code: ErrorCode, why: string): Approved => ({ kind: 'refused', code, why });
  const needed = `it needs ${rules.approvers} users`;
  if (user === null) return refused('APPROVER_UNKNOWN', `${needed}, and this request has none`);
  if (publisher === undefined) {
    return refused(
      'APPROVER_UNKNOWN',
      `${needed}, and its announcement does not name its publisher`,
    );
  }
  if (user === publisher) {
    return refused('APPROVER_IS_PUBLISHER', `${needed} other than ${publisher}, who published it`);
  }
  if (before.includes(user)) return { kind: 'again' };
  const users = [...before, user].slice(-rules.approvers);
  return { kind: 'counts', users, isEnough: isApproved(rules, users) };
}

/** True when enough different users have approved; a record may come from another controller. */
export function isApproved(rules: ApproverRules, users: readonly string[]): boolean {
  const { published_by: publisher } = rules;
  if (publisher === undefined) return false;
  return new Set(users.filter((user) => user !== publisher)).size >= rules.approvers;
}

/** Names the users that may still approve: `for 2 users other than pub, who published it`. */
export function approverWait(
  { approvers, published_by: publisher }: ApproverRules,
  users: readonly string[],
): string {
  const name = (user: string): string => printable(user, LIMITS.idLengthMax);
  const none = publisher === undefined ? [] : [name(publisher)];
  if (users.length === 0) {
    const others = none.map((one) => ` other than ${one}, who published it`).join('');
    return `for ${approvers} users${others}`;
  }
  const all = [...users.map(name), ...none];
  const names = [all.slice(0, -1).join(', '), all.at(-1) ?? ''].filter(Boolean).join(' and ');
  const left = approvers - users.length;
  return left > 1 ? `for ${left} users other than ${names}` : `for another user than ${names}`;
}

/** `1 of 2: waits for another user than ana and pub`. */
export const approverWords = (rules: ApproverRules, users: readonly string[]): string =>
  `${users.length} of ${rules.approvers}: waits ${approverWait(rules, users)}`;
