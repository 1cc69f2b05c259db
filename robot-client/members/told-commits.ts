/**
 * The open decisions of the leader as each computer reads them, the leader itself among them.
 * Sans-I/O.
 */

import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { CommitDecision } from '../update/joint-set.ts';
import { isSameSet, type Commit } from './commit.ts';

/** With the component that has to say now that it is prepared; null for none. */
export type ToldCommit = Commit & { readonly asked: string | null };

/**
 * An id that is not in the list was never decided, or was ended by all: a component that is bound
 * to it goes back, or was not switched. Presumed abort.
 * @param commits null before the first news since the start
 */
export function decisionIn(
  commits: readonly ToldCommit[] | null,
  commitId: string,
): CommitDecision {
  if (commits === null) return 'unheard';
  const found = commits.find(({ id }) => id === commitId)?.decision ?? 'back';
  return found === 'recall' ? 'back' : found;
}

/** The decision for which a component has to say that it is prepared; null for none. */
export function openIn(
  commits: readonly ToldCommit[] | null,
  set: RolloutSet,
  component: string,
): string | null {
  const found = commits?.find((one) => isSameSet(one.set, set) && one.asked === component);
  return found?.id ?? null;
}

export const isRecalledIn = (commits: readonly ToldCommit[] | null, set: RolloutSet): boolean =>
  commits?.some((one) => one.decision === 'recall' && isSameSet(one.set, set)) ?? false;
