/**
 * A decision whose record was lost, with the disk of the leader or by damage. It is neither "never
 * decided" nor "back": a component that confirmed by it cannot go back, so the others must follow.
 * The leader takes the decision again from the states that the components have stored. Until these
 * states prove it, no component moves.
 * Sans-I/O.
 */

import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { Steps } from '../update/member-steps.ts';
import { goneCause, UNSEEN, type Commit, type ComponentFact } from './commit.ts';

/** Steps in which a component follows the decision that it is bound to. */
const FOLLOWS: Steps = ['staged', 'switching', 'trial', 'well', 'sure'];
/** Steps of components that the lost decision may have left out: they ran the set before. */
const BEFORE: Steps = ['done', 'had'];

/**
 * @param isKnown true for an id of the record that the leader has
 * @returns the id that a component of the set waits for, and that no record knows; null for none
 */
export function lostIdOf(
  components: readonly ComponentFact[],
  isKnown: (commitId: string) => boolean,
): string | null {
  const found = components.find(
    ({ step, commitId }) => FOLLOWS.includes(step) && commitId !== null && !isKnown(commitId),
  );
  return found?.commitId ?? null;
}

/**
 * Takes a decision again whose record was lost.
 * - One that confirmed by this id proves that it was `confirm`.
 * - Else all have to be there, with news of this start of the leader, so that none still follows
 *   an earlier one. Then none has confirmed: all go back when one has left already or none was
 *   switched, and all go on when each is still bound.
 * @param gone components of computers that a person has declared gone for good: they may have
 *   confirmed, so the others go back, unless one of these shows that it was `confirm`
 * @returns null while that is not certain
 */
export function decideLost(
  id: string,
  set: RolloutSet,
  components: readonly ComponentFact[],
  gone: readonly string[] = [],
): Commit | null {
  const isBound = ({ step, commitId }: ComponentFact): boolean =>
    commitId === id && FOLLOWS.includes(step);
  const isGone = ({ component }: ComponentFact): boolean => gone.includes(component);
  // One that is gone may be bound as well: the decision is kept until it has followed it.
  const bound = components.filter((one) => isBound(one) || isGone(one));
  const of = (found: readonly ComponentFact[]): string[] => found.map((one) => one.component);
  const taken = (decision: Commit['decision']): Commit => ({
    ...{ id, set, components: of(bound), decision },
    ...(gone.length > 0 && { gone: of(components.filter(isGone)) }),
  });
  if (components.some(({ confirmedBy }) => confirmedBy === id)) return taken('confirm');
  const isCertain = components.every(
    ({ component, step, awayMs, isCurrent }) =>
      gone.includes(component) || (awayMs === 0 && isCurrent && !UNSEEN.includes(step)),
  );
  if (!isCertain) return null;
  if (gone.length > 0) return { ...taken('back'), cause: goneCause(gone) };
  const hasLeft = components.some((one) => !isBound(one) && !BEFORE.includes(one.step));
  // While none was switched, each is free again: the fleet may have stopped the set meanwhile.
  const areStaged = components.every((one) => !isBound(one) || one.step === 'staged');
  return taken(hasLeft || areStaged ? 'back' : 'switch');
}
