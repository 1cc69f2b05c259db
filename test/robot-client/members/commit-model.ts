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
import { CommitBook } from '../../../robot-client/members/commit-book.ts';
import { decideLost, lostIdOf } from '../../../robot-client/members/lost-commit.ts';
import { decisionIn, isOfRecord } from '../../../robot-client/members/told-commits.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
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
type News = {
  readonly open: World['open'];
  readonly isAsked: boolean;
  readonly lostTo: number;
} | null;

export interface Computer {
  readonly part: Part;
  /** Null before the first one since its start. */
  readonly news: News;
  /** That came from a former start of the leader. */
  readonly isOldNews: boolean;
  /** Its last report that the leader has received; null for none since the start of the leader. */
  readonly seen: Part | null;
  /** It followed the news of a former start of the leader when it sent that. */
  readonly isSeenOld: boolean;
  /** In its last report its root could not be read. */
  readonly isHidden: boolean;
  /** The leader has not taken its pair file at its last start, and does not know its component. */
  readonly isLeftOut: boolean;
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
  /** The leader has read its record of decisions since its start. */
  readonly isRead: boolean;
  /** Ids up to this one were of a record that is lost. */
  readonly lostTo: number;
  /** A person declared this computer gone for good, for the open decision; -1 for none. */
  readonly gone: number;
}

export interface Rules {
  readonly idsMax: number;
  /** Messages may be late, so that an older one comes after newer things have happened. */
  readonly areLate: boolean;
  readonly mayReplace: boolean;
  /** The first computer is the one of the leader: a start of it is one of both. Default false. */
  readonly leads?: boolean;
  /** The record of the leader may be lost. Default false. */
  readonly mayLose?: boolean;
  /** The root of a computer may be one that cannot be read for a while. Default false. */
  readonly mayHide?: boolean;
  /** The leader may start without the pair file of a computer. Default false. */
  readonly mayLeaveOut?: boolean;
  /** A person may declare a computer gone for good, which comes back all the same. Default false. */
  readonly mayBeGone?: boolean;
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
  ...{ news: null, seen: null, lateReport: null, lateNews: null },
  ...{ isBound: false, isNew: false, isOldNews: false, isSeenOld: false, isHidden: false },
  isLeftOut: false,
};

export const startOf = (count: number): World => ({
  computers: Array.from({ length: count }, () => FRESH),
  ...{ open: null, ids: 0, isRead: false, lostTo: 0, gone: -1 },
});

const partKey = (part: Part | null): string =>
  part === null ? '' : `${part.step}${part.id}${part.by}`;

const newsKey = (news: News): string =>
  news === null ? 'unheard' : `${news.open?.id}${news.open?.decision}${news.isAsked}${news.lostTo}`;

/** One text for worlds that differ in the order of their members only. */
export function keyOf(world: World, leads: boolean): string {
  const { computers, open, ids, isRead, lostTo, gone } = world;
  const told = computers.map((one, at) =>
    [
      ...[partKey(one.part), partKey(one.seen), partKey(one.lateReport), newsKey(one.news)],
      ...[newsKey(one.lateNews), one.isBound, one.isNew, one.isOldNews, one.isSeenOld],
      ...[one.isHidden, one.isLeftOut, at === gone],
    ].join(),
  );
  const own = leads ? told.splice(0, 1) : [];
  const all = [...own, ...told.toSorted()].join(';');
  return `${all} ${open?.id}${open?.decision} ${ids} ${isRead} ${lostTo}`;
}

const nameOf = (at: number): string => `c${at}`;
const recordOf = (lostTo: number): string => String(lostTo).padStart(16, '0');
/** Ids of the first record are those up to the one at which it was lost. */
const idOf = (id: number, lostTo: number): string =>
  `${recordOf(id > lostTo ? lostTo : 0)}${String(id).padStart(16, '0')}`;
const SET: RolloutSet = { id: 's' as RolloutSet['id'], members: [] };
/** The decisions of a leader that has not read its record: those of the product. */
const UNREAD = new CommitBook(realDisk, '/nowhere').told;

function commitOf({ open, computers, lostTo, gone }: World): Commit | null {
  const components = [...computers.keys()].filter((at) => computers[at]?.isBound).map(nameOf);
  const left = gone < 0 ? {} : { gone: [nameOf(gone)] };
  const { decision, id } = open ?? {};
  if (decision === undefined || id === undefined) return null;
  return { id: idOf(id, lostTo), set: SET, decision, components, ...left };
}

function factsOf(world: World, lost: number, isLate: boolean, leads: boolean): CommitFacts {
  const away = LIMITS.memberAwayMs + 1;
  const idText = (id: number): string | null => (id === 0 ? null : idOf(id, world.lostTo));
  return {
    set: SET,
    components: world.computers.map((one, at) => {
      const isOwn = leads && at === 0;
      const seen = one.isHidden ? null : isOwn ? one.part : one.seen;
      // With the least that a leader can know: it has no desk that says how long it was away.
      const isThere = isOwn || one.seen !== null || one.isLeftOut;
      return {
        component: nameOf(at),
        step: one.isLeftOut ? 'missing' : (seen?.step ?? 'unknown'),
        commitId: seen && idText(seen.id),
        confirmedBy: seen?.step === 'done' ? idText(seen.by) : null,
        isCurrent: isOwn || !one.isSeenOld,
        awayMs: isOwn ? 0 : at === lost ? away : isThere ? 0 : 1,
        ...{ canGoBack: true, code: null },
      };
    }),
    ...{
      isRecalled: false,
      stopped: null,
      laggard: null,
      openMs: isLate ? LIMITS.prepareMs + 1 : 0,
    },
  };
}

/** The leader stores a decision before it tells it, so both are one event here. */
function* decisions(world: World, { idsMax, leads = false }: Rules): Generator<Move> {
  if (!world.isRead) return;
  const known = commitOf(world);
  const lost = world.computers.keys();
  const ways = [...[-1, ...lost].map((nth) => ({ nth, isLate: false })), { nth: -1, isLate: true }];
  for (const { nth, isLate } of ways) {
    const facts = factsOf(world, nth, isLate, leads);
    const isKnown = (id: string): boolean => isOfRecord(recordOf(world.lostTo), id);
    const lostId = known === null ? lostIdOf(facts.components, isKnown) : null;
    const again = lostId === null ? null : decideLost(lostId, SET, facts.components);
    if (again === null && known === null && world.ids >= idsMax) continue;
    const next = again ?? decideCommit(known, facts, idOf(world.ids + 1, world.lostTo));
    if (next === known) continue;
    const computers = world.computers.map((one, at) => ({
      ...one,
      isBound: next?.components.includes(nameOf(at)) ?? false,
    }));
    const open = next && { id: Number(next.id.slice(16)), decision: next.decision };
    const ids = known === null && again === null ? world.ids + 1 : world.ids;
    const what = `${again ? 'decide again' : 'decide'} ${next?.decision ?? 'nothing'}`;
    const gone = next === null ? -1 : world.gone;
    yield { what, isFault: nth >= 0 || isLate, to: { ...world, computers, open, ids, gone } };
  }
}

/** The word of a person, true or not: the computer may be there again a moment later. */
function* words(world: World, { mayBeGone = false, leads = false }: Rules): Generator<Move> {
  if (!mayBeGone || !world.isRead || !world.open || !isKept(world.open) || world.gone >= 0) return;
  for (const at of world.computers.keys()) {
    if (leads && at === 0) continue;
    yield { what: `c${at} is declared gone`, isFault: true, to: { ...world, gone: at } };
  }
}

function newsFor(world: World, at: number, leads: boolean): News {
  const commit = commitOf(world);
  const { components } = factsOf(world, -1, false, leads);
  const isAsked = commit !== null && askedOf(commit, components) === nameOf(at);
  return { open: world.open, isAsked, lostTo: world.lostTo };
}

/** As the computer reads the news that it got, with the rule of the product. */
function heardOn(news: News, id: number, lostTo: number): CommitDecision {
  if (news === null) return decisionIn(null, idOf(id, lostTo));
  const commits = news.open
    ? [{ id: idOf(news.open.id, lostTo), set: SET, components: [], asked: null, ...decided(news) }]
    : [];
  return decisionIn({ commits, record: recordOf(news.lostTo) }, idOf(id, lostTo));
}

const decided = ({ open }: NonNullable<News>) =>
  ({ decision: open?.decision ?? 'prepare' }) as const;

/** The computer of the leader reads its decisions where it keeps them. */
function decisionFor(world: World, at: number, id: number, leads: boolean): CommitDecision {
  if (!leads || at > 0) return heardOn(world.computers[at]?.news ?? null, id, world.lostTo);
  if (!world.isRead) return decisionIn(UNREAD, idOf(id, world.lostTo));
  return heardOn(newsFor(world, at, leads), id, world.lostTo);
}

const withComputer = (world: World, at: number, change: Partial<Computer>): World => ({
  ...world,
  computers: world.computers.map((one, nth) => (nth === at ? { ...one, ...change } : one)),
});

/** The steps that a component takes without a message of the leader. */
function* acts(
  world: World,
  at: number,
  { part, news: heard }: Computer,
  { mayFail = true, leads = false }: Rules,
): Generator<Move> {
  const { step, id } = part;
  const become = (what: string, next: Partial<Part>, isFault = false): Move => ({
    ...{ what: `c${at} ${what}`, isFault },
    to: withComputer(world, at, { part: { ...part, ...next } }),
  });
  const isOwn = leads && at === 0;
  const news = isOwn ? (world.isRead ? newsFor(world, at, leads) : null) : heard;
  if (step === 'staged' && id === 0 && news?.isAsked === true)
    yield become('is prepared', { id: news.open?.id ?? 0 });
  // The order of the switches is left out here: any order is allowed, which is more than the rules.
  const decision = id === 0 ? 'back' : decisionFor(world, at, id, leads);
  const verdict = (asked: 'staged' | 'trial' | 'well' | 'sure') =>
    jointVerdict(
      { step: asked, commitId: id === 0 ? null : idOf(id, world.lostTo) },
      'go',
      decision,
    );
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

function* messages(world: World, at: number, one: Computer, rules: Rules): Generator<Move> {
  const { areLate, leads = false, mayHide = false } = rules;
  const isOwn = leads && at === 0;
  const move = (what: string, change: Partial<Computer>, isFault = false): Move => ({
    ...{ what: `c${at} ${what}`, isFault },
    to: withComputer(world, at, change),
  });
  const isSeenOld = one.isOldNews;
  if (mayHide && !one.isHidden) yield move('cannot be read', { isHidden: true }, true);
  if (mayHide && one.isHidden && isOwn) yield move('can be read again', { isHidden: false });
  if (isOwn || one.isLeftOut) return;
  yield move('is heard', { seen: one.part, lateReport: null, isSeenOld, isHidden: false });
  if (!world.isRead) return;
  const news = newsFor(world, at, leads);
  yield move('hears', { news, lateNews: null, isOldNews: false });
  if (!areLate) return;
  yield move('sends', { lateReport: one.part }, true);
  yield move('is sent', { lateNews: news }, true);
  if (one.lateReport) yield move('is heard late', { seen: one.lateReport, lateReport: null }, true);
  if (one.lateNews) yield move('hears late', { news: one.lateNews, lateNews: null }, true);
}

/** A start loses what was only in memory, and the connection with what was on its way. */
function* restarts(world: World, rules: Rules): Generator<Move> {
  const { mayReplace, mayFail = true, mayLose = false, mayLeaveOut = false } = rules;
  const isForgotten = world.open !== null && !isKept(world.open);
  const unheard = { seen: null, lateReport: null, lateNews: null } as const;
  const started = (isLost: boolean, leftOut = -1): World => ({
    ...world,
    computers: world.computers.map((one, at) => ({
      ...{ ...one, ...unheard, isLeftOut: at === leftOut },
      ...{ isOldNews: mayLose && one.news !== null, isSeenOld: false },
      isBound: one.isBound && !isForgotten && !isLost,
    })),
    ...{ open: isForgotten || isLost ? null : world.open, isRead: false },
    gone: isLost ? -1 : world.gone,
    lostTo: isLost ? world.ids : world.lostTo,
  });
  yield { what: 'leader restarts', isFault: true, to: started(false) };
  if (mayLose && world.lostTo === 0 && world.ids > 0)
    yield { what: 'leader restarts, without its record', isFault: true, to: started(true) };
  // A pair file that was repaired is read at the next start.
  if (mayLeaveOut) {
    for (const at of world.computers.keys()) {
      const what = `leader restarts, without the pair file of c${at}`;
      if (at > 0) yield { what, isFault: true, to: started(false, at) };
    }
    if (world.computers.some(({ isLeftOut }) => isLeftOut))
      yield { what: 'leader restarts, with all', isFault: false, to: started(false) };
  }
  if (!world.isRead)
    yield { what: 'leader reads its record', isFault: false, to: { ...world, isRead: true } };
  for (const at of world.computers.keys()) {
    const lost = { news: null, lateReport: null, lateNews: null, isOldNews: false } as const;
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
  yield* words(world, rules);
  for (const [at, one] of world.computers.entries()) {
    yield* acts(world, at, one, rules);
    yield* messages(world, at, one, rules);
  }
  yield* restarts(world, rules);
}
