/**
 * The open decisions of the leader as each computer reads them, the leader itself among them.
 * Sans-I/O.
 */

import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { CommitDecision } from '../update/joint-set.ts';
import type { MemberViews } from '../update/set-verdict.ts';
import { isSameSet, type Commit } from './commit.ts';

/** With the component that has to say now that it is prepared; null for none. */
export type ToldCommit = Commit & { readonly asked: string | null };

export interface ToldBook {
  readonly commits: readonly ToldCommit[];
  /**
   * Start of the ids that were made for this record of decisions: it knows the fate of each.
   * Null while the leader cannot read its record; empty from an older leader, which has one record
   * for all ids.
   */
  readonly record: string | null;
}

/**
 * An id of this record that is not in the list was never decided, or was ended by all: a component
 * that is bound to it goes back, or was not switched. Presumed abort. The fate of an id of another
 * record is unknown: it was lost, and may have been any.
 * @param book null before the first news since the start
 */
export function decisionIn(book: ToldBook | null, commitId: string): CommitDecision {
  if (book === null) return 'unheard';
  const found = book.commits.find(({ id }) => id === commitId)?.decision;
  if (found !== undefined) return found === 'recall' ? 'back' : found;
  if (book.record === null) return 'unheard';
  return isOfRecord(book.record, commitId) ? 'back' : 'lost';
}

export const isOfRecord = (record: string | null, commitId: string): boolean =>
  record !== null && commitId.startsWith(record);

/** The decision for which a component has to say that it is prepared; null for none. */
export function openIn(book: ToldBook | null, set: RolloutSet, component: string): string | null {
  const found = book?.commits.find((one) => isSameSet(one.set, set) && one.asked === component);
  return found?.id ?? null;
}

export const isRecalledIn = (book: ToldBook | null, set: RolloutSet): boolean =>
  book?.commits.some((one) => one.decision === 'recall' && isSameSet(one.set, set)) ?? false;

/** Why all go back, for people; null when the leader does not say. */
export const causeIn = (book: ToldBook | null, commitId: string): string | null =>
  book?.commits.find(({ id }) => id === commitId)?.cause ?? null;

/**
 * The decisions for a member of an older version, which takes an id that is not in the list for
 * `back`: those that were lost stand in it as not taken yet.
 * @param own the components of this member
 */
export function commitsForOlder(book: ToldBook, own: MemberViews): ToldCommit[] {
  const lost = [...own].flatMap(([component, view]): ToldCommit[] => {
    const { commitId = null, set = null } = view?.state.job ?? {};
    if (commitId === null || set === null || decisionIn(book, commitId) !== 'lost') return [];
    return [{ id: commitId, set, components: [component], decision: 'prepare', asked: null }];
  });
  return [...book.commits, ...lost].slice(0, LIMITS.commitsMax);
}
