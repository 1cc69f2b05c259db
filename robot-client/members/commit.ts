/**
 * The decisions of the leader about a set over several computers: a two-phase commit with presumed
 * abort. All components say that they are prepared, the leader decides to switch; all are healthy,
 * it decides to confirm; whatever fails before that, it decides to go back. It stores a decision
 * before anybody gets it. A decision that its record does not have was never taken. Sans-I/O.
 */

import { z } from 'zod';
import { rolloutSetSchema, type RolloutSet } from '../../shared/formats/announcement.ts';
import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { idSchema } from '../../shared/formats/schema.ts';
import { commitIdSchema } from '../update/job-parts.ts';
import { STEP_WORDS, type MemberStep, type Steps } from '../update/member-steps.ts';

export const commitSchema = z.object({
  id: commitIdSchema,
  set: rolloutSetSchema,
  /** The components that it binds, in the order of the questions; those that ran it are left out. */
  components: z.array(idSchema).min(1).max(LIMITS.setMembersMax),
  /** `recall`: a confirmed set goes back. */
  decision: z.enum(['prepare', 'switch', 'confirm', 'back', 'recall']),
  /** Why it is `back`, for people. */
  cause: z.string().max(LIMITS.commitCauseCharsMax).optional(),
  /** Components of computers that a person has declared gone for good: no other waits for them. */
  gone: z.array(idSchema).max(LIMITS.setMembersMax).optional(),
});

export type Commit = z.output<typeof commitSchema>;

/** The last facts that the leader received about one component of the set. */
export interface ComponentFact {
  readonly component: string;
  readonly step: MemberStep;
  /** The decision that it is prepared for. */
  readonly commitId: string | null;
  /** The decision that confirmed what it runs; null for none. */
  readonly confirmedBy: string | null;
  /** It has news of this start of the leader, and follows no earlier one. */
  readonly isCurrent: boolean;
  /** For how long nothing came from its computer; 0 while it is there. */
  readonly awayMs: number;
  /** It has confirmed, and its disk refused the state: after a power cut it asks again. */
  readonly isUnkept?: boolean;
  /** The release before the confirmed one is still there. */
  readonly canGoBack: boolean;
  /** Code of its last failure; null for none. */
  readonly code: string | null;
}

export interface CommitFacts {
  readonly set: RolloutSet;
  /** In the order of the set. */
  readonly components: readonly ComponentFact[];
  /** The fleet takes the set back. */
  readonly isRecalled: boolean;
  /** Why the fleet lets no robot switch to it now; null when it goes on. */
  readonly stopped: string | null;
  /** Since when the round of questions is open. */
  readonly openMs: number;
  /** The component that was not ready in the last round: it is asked first, and alone. */
  readonly laggard: string | null;
}

const AT_REST: Steps = ['staged', 'done', 'had'];
const FALLEN: Steps = ['failed', 'undone', 'undone_for_good', 'undoing', 'stuck', 'pending'];
/**
 * The leader does not see what is on its disk. A bound component was there when it was bound, so
 * one that this robot does not have now is on a computer whose pair file is left out.
 */
export const UNSEEN: Steps = ['unknown', 'missing'];

const RECALLED = 'called back by the fleet';

function causeOf({ gone }: Commit, fallen?: ComponentFact, lost?: ComponentFact): string | null {
  if (fallen) {
    const because = fallen.code === null ? '' : ` (${fallen.code})`;
    return `${fallen.component} ${STEP_WORDS[fallen.step]}${because}`;
  }
  if (gone) return goneCause(gone);
  const minutes = LIMITS.memberAwayMs / 60_000;
  return lost ? `the computer of ${lost.component} was away for ${minutes} minutes` : null;
}

/** Why a set goes back without them. */
export const goneCause = (gone: readonly string[]): string =>
  `a person at the robot said that the computer of ${gone.join(' and ')} is gone for good`.slice(
    0,
    LIMITS.commitCauseCharsMax,
  );

const OPEN_TO_RECALL: Steps = ['done', 'undoing', ...UNSEEN];

/** True while the decision still binds the component; one that is not seen may still be bound. */
function isOpenFor({ id, components, decision }: Commit, one: ComponentFact): boolean {
  if (!components.includes(one.component)) return false;
  if (decision === 'recall') return OPEN_TO_RECALL.includes(one.step);
  if (one.isUnkept === true && one.confirmedBy === id) return true;
  return UNSEEN.includes(one.step) || one.commitId === id;
}

/**
 * True when only computers that are gone for good have not ended it. The decision stays in the
 * record, because one of them that comes back all the same has to follow it, but it stops no other.
 */
export function isKeptForGone(
  known: Commit,
  { components }: { readonly components: readonly ComponentFact[] },
): boolean {
  const { gone, decision } = known;
  if (gone === undefined || decision === 'prepare' || decision === 'switch') return false;
  const others = components.filter(({ component }) => !gone.includes(component));
  return others.every((one) => one.awayMs === 0 && !isOpenFor(known, one));
}

/**
 * One step.
 * @param known null when there is no decision about the set
 * @param newId of a decision that begins with this step
 * @returns the decision from now on; null when none is needed any more
 */
export function decideCommit(
  known: Commit | null,
  facts: CommitFacts,
  newId: string,
): Commit | null {
  const { components } = facts;
  const isThere = components.every(({ awayMs }) => awayMs === 0);
  if (known === null) return isThere ? begun(facts, newId) : null;
  const bound = components.filter(({ component }) => known.components.includes(component));
  const areBound = bound.every(({ commitId }) => commitId === known.id);
  switch (known.decision) {
    case 'prepare': {
      // One that is bound to another decision, of a record that was lost, follows that one first.
      const isAnswer = ({ step, commitId }: ComponentFact): boolean =>
        step === 'staged' && (commitId === null || commitId === known.id);
      const hasLeft = !isThere || !bound.every(isAnswer);
      // No component was switched, and no decision of this id follows: each decides alone again.
      const isOver = facts.isRecalled || facts.stopped !== null;
      if (hasLeft || isOver || facts.openMs > LIMITS.prepareMs) return null;
      return areBound ? { ...known, decision: 'switch' } : known;
    }
    case 'switch': {
      // It cannot go back: it had this decision from a record that is newer than the one here.
      if (components.some(({ confirmedBy }) => confirmedBy === known.id))
        return { ...known, decision: 'confirm' };
      // One that went back may be staged again before the leader knows: it is not bound then.
      const fallen = bound.find(
        ({ step, commitId }) =>
          FALLEN.includes(step) || (!UNSEEN.includes(step) && commitId !== known.id),
      );
      const lost = bound.find(({ awayMs }) => awayMs > LIMITS.memberAwayMs);
      const cause = facts.isRecalled ? (facts.stopped ?? RECALLED) : causeOf(known, fallen, lost);
      if (cause !== null) {
        return { ...known, decision: 'back', cause: cause.slice(0, LIMITS.commitCauseCharsMax) };
      }
      const areSure = areBound && bound.every(({ step }) => step === 'sure');
      return areSure ? { ...known, decision: 'confirm' } : known;
    }
    case 'confirm':
    case 'back':
    case 'recall': {
      // A sick disk must not keep a recall: an id that is not in the record means to go back.
      const isOpen = (one: ComponentFact): boolean =>
        isOpenFor(known, one) && !(facts.isRecalled && one.isUnkept === true);
      return isThere && !components.some(isOpen) ? null : known;
    }
  }
}

function begun(facts: CommitFacts, id: string): Commit | null {
  const { set, components, isRecalled, laggard } = facts;
  if (facts.stopped !== null && !isRecalled) return null;
  // A recall whose record was lost has taken some back already.
  const mayBe = isRecalled ? [...AT_REST, 'undone', 'undone_for_good'] : AT_REST;
  if (!components.every(({ step }) => mayBe.includes(step))) return null;
  const at = (step: MemberStep): ComponentFact[] => components.filter((one) => one.step === step);
  const named = (facts: readonly ComponentFact[]): string[] => facts.map((one) => one.component);
  const [staged, done] = [at('staged'), at('done')];
  if (isRecalled) {
    const mayGoBack = staged.length === 0 && done.length > 0 && done.every((one) => one.canGoBack);
    return mayGoBack ? { id, set, components: named(done), decision: 'recall' } : null;
  }
  // One that is bound to an older decision is released first.
  const areFree = staged.length > 0 && staged.every(({ commitId }) => commitId === null);
  const asked = staged.toSorted((a, b) => rank(a, laggard) - rank(b, laggard));
  return areFree ? { id, set, components: named(asked), decision: 'prepare' } : null;
}

const rank = ({ component }: ComponentFact, laggard: string | null): number =>
  component === laggard ? 0 : 1;

/**
 * The component that has to say now that it is prepared; null for none. One after another: while
 * one is busy, the others write nothing to their disks.
 */
export function askedOf(
  { id, components, decision }: Commit,
  facts: readonly Pick<ComponentFact, 'component' | 'commitId'>[],
): string | null {
  if (decision !== 'prepare') return null;
  const isPrepared = (name: string): boolean =>
    facts.some(({ component, commitId }) => component === name && commitId === id);
  return components.find((name) => !isPrepared(name)) ?? null;
}

/** Everything but a question is kept over a power cut: it is on the disk before it is sent. */
export const isKept = ({ decision }: Pick<Commit, 'decision'>): boolean => decision !== 'prepare';

/** Two announcements of one set are the same when they bring the same bytes. */
export const isSameSet = (a: RolloutSet, b: RolloutSet): boolean =>
  a.id === b.id && JSON.stringify(a.members) === JSON.stringify(b.members);

/**
 * For how long nothing came from a computer; 0 while its last message is fresh.
 * @param isLost its connection has ended since
 */
export function awayMsOf(lastHeardMs: MonoMs, now: MonoMs, isLost: boolean): number {
  const silentMs = now - lastHeardMs;
  return silentMs <= (isLost ? LIMITS.memberLostMs : LIMITS.memberSilentMs) ? 0 : silentMs;
}
