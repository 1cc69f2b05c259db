/**
 * The facts of the leader about a set, from the last reports of all computers. A component that has
 * no desk and is not of this computer is not one that this robot lacks: the pair file of its
 * computer may be left out, so that computer counts as away since the start.
 */

import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { decideRecall, decideStopped } from '../update/decide.ts';
import {
  canGoBack,
  failureCodeOf,
  setOf,
  stepOf,
  type MemberViews,
} from '../update/set-verdict.ts';
import type { HeardFacts } from '../update/verdict.ts';
import { isSameSet, type ComponentFact } from './commit.ts';
import type { SetFacts } from './commit-book.ts';
import type { MemberDesk } from './member-desk.ts';

export interface LeaderFacts {
  /** Of all computers. */
  readonly views: MemberViews;
  /** Components of this computer. */
  readonly local: ReadonlySet<string>;
  readonly desks: readonly MemberDesk[];
  /** Of this start of the leader. */
  readonly epoch: string;
  readonly startedMs: MonoMs;
  readonly progress: HeardFacts['progress'];
  readonly now: MonoMs;
  readonly clock: EpochMs;
}

export function factsOfSet(set: RolloutSet, leader: LeaderFacts): SetFacts {
  const { views, local, desks, epoch, startedMs, progress, now, clock } = leader;
  let isRecalled = false;
  let stopped: string | null = null;
  const components = set.members.map((member): ComponentFact => {
    const view = views.get(member.component);
    const desk = desks.find((one) => one.views.has(member.component));
    const isLocal = local.has(member.component);
    const isOfSet = view && (view.state.job ?? view.state.installed)?.rollout === member.rollout;
    if (isOfSet && decideRecall({ ...view, progress, now: clock })) isRecalled = true;
    if (isOfSet) stopped ??= decideStopped(view.state, progress, clock);
    const silentMs = isLocal ? 0 : Math.max(1, now - startedMs);
    return {
      component: member.component,
      step: stepOf(member, view),
      commitId: view?.state.job?.commitId ?? null,
      confirmedBy: view?.state.installed?.commitId ?? null,
      isUnkept: view?.isUnkept === true,
      isCurrent: isLocal || desk?.heardEpoch === epoch,
      awayMs: desk?.awayMs(now) ?? silentMs,
      canGoBack: view ? canGoBack(view) : false,
      code: failureCodeOf(member, view?.state),
    };
  });
  return { components, isRecalled, stopped };
}

/**
 * The sets over several computers that a component works on, or has confirmed. One that is bound is
 * of such a set, also where no pair file names another computer of it.
 */
export function setsOver(views: MemberViews, remote: MemberViews): RolloutSet[] {
  const sets: RolloutSet[] = [];
  for (const view of views.values()) {
    const set = view && setOf(view.state);
    const isBound = (view?.state.job?.commitId ?? null) !== null;
    if (!set || (!isBound && !set.members.some((one) => remote.has(one.component)))) continue;
    if (!sets.some((one) => isSameSet(one, set))) sets.push(set);
  }
  return sets;
}

/** The component that no computer has that is led here; null when all are known. */
export function unledOf(
  { members }: Pick<RolloutSet, 'members'>,
  local: ReadonlySet<string>,
  remote: MemberViews,
): string | null {
  const found = members.find(({ component: name }) => !local.has(name) && !remote.has(name));
  return found ? `a computer with ${found.component}: no pair file here names it` : null;
}
