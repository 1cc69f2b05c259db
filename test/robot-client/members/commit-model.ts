/**
 * A robot of several computers for an exhaustive walk: the real rules of the leader and of each
 * component, and everything that can happen to messages, agents and disks between them. A world is
 * a plain value; `movesOf` returns every world that one event can lead to.
 */

import {
  askedOf,
  decideCommit,
  isKept,
  type Commit,
  type CommitFacts,
} from '../../../robot-client/members/commit.ts';
import { jointVerdict, type CommitDecision } from '../../../robot-client/update/joint-set.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

/** On the disk of one computer. */
export interface Part {
  /** `well` is left out: it promises nothing, as `trial`. */
  readonly step: 'pending' | 'staged' | 'trial' | 'sure' | 'done' | 'undone';
  /** The decision that it is bound to; 0 for none. */
  readonly id: number;
  /** The last decision that confirmed it, or took it back; 0 for none. */
  readonly by: number;
}

/** The last message of the leader that a component has received. */
type News = `${number} ${CommitDecision} ${'asked' | '-'}` | 'none' | 'unheard';

export interface Computer {
  readonly part: Part;
  readonly news: News;
  /** Its last report that the leader has received; null for none since the start of the leader. */
  readonly seen: Part | null;
  /** Messages on their way that others overtake; null for none. */
  readonly lateReport: Part | null;
  readonly lateNews: News | null;
  /** The open decision binds it. */
  readonly isBound: boolean;
  /** It took the place of another one, with an empty disk. */
  readonly isNew: boolean;
}

export interface World {
  readonly computers: readonly Computer[];
  readonly open: { readonly id: number; readonly decision: Commit['decision'] } | null;
  /** Ids that were used. */
  readonly ids: number;
}

export interface Rules {
  readonly idsMax: number;
  /** Messages may be late, so that an older one comes after newer things have happened. */
  readonly areLate: boolean;
  readonly mayReplace: boolean;
  /** Default true: components leave and fail by themselves, and agents start again. */
  readonly mayFail?: boolean;
}

export interface Move {
  readonly what: string;
  readonly to: World;
  /** A fault of the world, which an end of all faults has not. */
  readonly isFault: boolean;
}

const FRESH: Computer = {
  part: { step: 'staged', id: 0, by: 0 },
  ...{ news: 'unheard', seen: null, lateReport: null, lateNews: null },
  ...{ isBound: false, isNew: false },
};

export const startOf = (count: number): World => ({
  computers: Array.from({ length: count }, () => FRESH),
  ...{ open: null, ids: 0 },
});

const partKey = (part: Part | null): string =>
  part === null ? '' : `${part.step}${part.id}${part.by}`;

/** One text for worlds that differ in the order of their computers only. */
export function keyOf({ computers, open, ids }: World): string {
  const told = computers.map((one) =>
    [
      ...[partKey(one.part), partKey(one.seen), partKey(one.lateReport)],
      ...[one.news, one.lateNews, one.isBound, one.isNew],
    ].join(),
  );
  return `${told.toSorted().join(';')} ${open?.id}${open?.decision} ${ids}`;
}

const nameOf = (at: number): string => `c${at}`;
const idOf = (id: number): string => String(id).padStart(32, '0');
const SET: RolloutSet = { id: 's' as RolloutSet['id'], members: [] };

function commitOf({ open, computers }: World): Commit | null {
  const components = [...computers.keys()].filter((at) => computers[at]?.isBound).map(nameOf);
  return open && { id: idOf(open.id), set: SET, decision: open.decision, components };
}

function factsOf({ computers }: World, lost: number, isLate: boolean): CommitFacts {
  const away = LIMITS.memberAwayMs + 1;
  return {
    set: SET,
    components: computers.map(({ seen }, at) => ({
      component: nameOf(at),
      step: seen?.step ?? 'unknown',
      commitId: seen === null || seen.id === 0 ? null : idOf(seen.id),
      awayMs: at === lost ? away : seen === null ? 1 : 0,
      canGoBack: true,
    })),
    ...{ isRecalled: false, laggard: null, openMs: isLate ? LIMITS.prepareMs + 1 : 0 },
  };
}

/** The leader stores a decision before it tells it, so both are one event here. */
function* decisions(world: World, { idsMax }: Rules): Generator<Move> {
  const known = commitOf(world);
  if (known === null && world.ids >= idsMax) return;
  const lost = world.computers.keys();
  const ways = [...[-1, ...lost].map((nth) => ({ nth, isLate: false })), { nth: -1, isLate: true }];
  for (const { nth, isLate } of ways) {
    const next = decideCommit(known, factsOf(world, nth, isLate), idOf(world.ids + 1));
    if (next === known) continue;
    const computers = world.computers.map((one, at) => ({
      ...one,
      isBound: next?.components.includes(nameOf(at)) ?? false,
    }));
    const open = next && { id: Number(next.id), decision: next.decision };
    const ids = known === null ? world.ids + 1 : world.ids;
    const what = `decide ${next?.decision ?? 'nothing'}`;
    yield { what, isFault: nth >= 0 || isLate, to: { computers, open, ids } };
  }
}

function newsFor(world: World, at: number): News {
  const commit = commitOf(world);
  if (commit === null || commit.decision === 'recall') return 'none';
  const isAsked = askedOf(commit, factsOf(world, -1, false).components) === nameOf(at);
  return `${Number(commit.id)} ${commit.decision} ${isAsked ? 'asked' : '-'}`;
}

/** An id that the leader does not know was never decided, or ended long ago. */
function decisionIn(news: News, id: number): CommitDecision {
  if (news === 'unheard') return 'unheard';
  const [known, decision] = news.split(' ');
  return news === 'none' || Number(known) !== id ? 'back' : (decision as CommitDecision);
}

const withComputer = (world: World, at: number, change: Partial<Computer>): World => ({
  ...world,
  computers: world.computers.map((one, nth) => (nth === at ? { ...one, ...change } : one)),
});

/** The steps that a component takes without a message of the leader. */
function* acts(
  world: World,
  at: number,
  { part, news }: Computer,
  mayFail: boolean,
): Generator<Move> {
  const { step, id } = part;
  const become = (what: string, next: Partial<Part>, isFault = false): Move => ({
    ...{ what: `c${at} ${what}`, isFault },
    to: withComputer(world, at, { part: { ...part, ...next } }),
  });
  const isAsked = news.endsWith('prepare asked');
  if (step === 'staged' && id === 0 && isAsked)
    yield become('is prepared', { id: Number(news.split(' ')[0]) });
  // The order of the switches is left out here: any order is allowed, which is more than the rules.
  const decision = id === 0 ? 'back' : decisionIn(news, id);
  const verdict = (asked: 'staged' | 'trial' | 'well' | 'sure') =>
    jointVerdict({ step: asked, commitId: id === 0 ? null : idOf(id) }, 'go', decision);
  const back = { step: 'undone', id: 0, by: id } as const;
  if (step === 'staged') {
    if (verdict(step) === 'release') yield become('is released', { id: 0 });
    if (verdict(step) === 'go') yield become('switches', { step: 'trial' });
    if (id === 0 && mayFail) yield become('leaves', { step: 'pending' }, true);
  } else if (step === 'trial') {
    if (verdict(step) === 'back') yield become('goes back', back);
    if (verdict('well') === 'go') yield become('is sure', { step: 'sure' });
    if (mayFail) yield become('fails', back, true); // alone: it has promised nothing for good
  } else if (step === 'sure') {
    if (verdict(step) === 'back') yield become('goes back', back);
    if (verdict(step) === 'go') yield become('confirms', { step: 'done', id: 0, by: id });
  } else if (step !== 'done') {
    yield become('is staged', { step: 'staged' });
  }
}

function* messages(world: World, at: number, one: Computer, { areLate }: Rules): Generator<Move> {
  const news = newsFor(world, at);
  const move = (what: string, change: Partial<Computer>, isFault = false): Move => ({
    ...{ what: `c${at} ${what}`, isFault },
    to: withComputer(world, at, change),
  });
  yield move('is heard', { seen: one.part, lateReport: null });
  yield move('hears', { news, lateNews: null });
  if (!areLate) return;
  yield move('sends', { lateReport: one.part }, true);
  yield move('is sent', { lateNews: news }, true);
  if (one.lateReport) yield move('is heard late', { seen: one.lateReport, lateReport: null }, true);
  if (one.lateNews) yield move('hears late', { news: one.lateNews, lateNews: null }, true);
}

/** A start loses what was only in memory, and the connection with what was on its way. */
function* restarts(world: World, { mayReplace, mayFail = true }: Rules): Generator<Move> {
  const isForgotten = world.open !== null && !isKept(world.open);
  const unheard = { seen: null, lateReport: null, lateNews: null } as const;
  const computers = world.computers.map((one) => ({
    ...{ ...one, ...unheard },
    isBound: one.isBound && !isForgotten,
  }));
  const open = isForgotten ? null : world.open;
  yield { what: 'leader restarts', isFault: true, to: { ...world, computers, open } };
  for (const at of world.computers.keys()) {
    const lost = { news: 'unheard', lateReport: null, lateNews: null } as const;
    if (mayFail)
      yield { what: `c${at} restarts`, isFault: true, to: withComputer(world, at, lost) };
    if (!mayReplace || world.computers.some(({ isNew }) => isNew)) continue;
    const part = { step: 'pending', id: 0, by: 0 } as const;
    const to = withComputer(world, at, { ...lost, part, isNew: true });
    yield { what: `c${at} is replaced`, isFault: true, to };
  }
}

export function* movesOf(world: World, rules: Rules): Generator<Move> {
  yield* decisions(world, rules);
  for (const [at, one] of world.computers.entries()) {
    yield* acts(world, at, one, rules.mayFail !== false);
    yield* messages(world, at, one, rules);
  }
  yield* restarts(world, rules);
}
