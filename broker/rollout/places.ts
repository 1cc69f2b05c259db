/**
 * Grants the places of a budget: (places, what robots report, now) -> (places, who got one, who
 * gave one back). A place is granted by the progress that is published, and is in use while the
 * robot reports that it is out of service: both are retained, so a controller that takes over
 * knows who has one. It must never grant while as many robots as the budget allows are out of
 * service or may go out; robots that have been away for longer than a lease are counted apart, or
 * one dead robot would hold up its place for ever.
 * Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { ComponentState } from '../../shared/formats/messages.ts';
import { graceMs, placesOf, type Budget } from '../../shared/rules/budget.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { isStuck, seenMs } from './classify.ts';

/** A place that was granted, and is not known to be used. */
export interface Place {
  readonly robot: RobotId;
  /** Names the question that it answers, by the robot's clock. */
  readonly askedAtMs: EpochMs;
  /** The robot may not begin from then on. */
  readonly untilMs: EpochMs;
}

/** A robot that asks, is out of service, or has a place, as it reported last. */
export interface PlaceRobot {
  readonly robot: RobotId;
  readonly tags: readonly string[];
  readonly online: boolean;
  /** When its last message arrived. */
  readonly seenMs: EpochMs;
  /** When it reported, by its own clock. */
  readonly reportedMs: EpochMs;
  /** Its questions, by the rollout that has the places. */
  readonly asks: ReadonlyMap<string, EpochMs>;
  /** A component of it is between its stop and its end, whatever rollout brought that about. */
  readonly isOut: boolean;
  /** A component of it runs neither version: it is out until a person repairs it. */
  readonly isStuck?: boolean;
}

/** From the stop of the application until an update has ended, or has been undone. */
const OUT: readonly ComponentState['phase'][] = ['swapping', 'probation', 'rolling_back', 'stuck'];

/**
 * @param ownerOf the rollout that has the places of one; null for one without a budget
 * @returns null for a robot that neither asks nor is out of service
 */
export function placeRobotOf(
  record: RobotRecord,
  ownerOf: (rollout: string) => string | null,
  watchedSinceMs: EpochMs,
): PlaceRobot | null {
  const { state, robot, online } = record;
  if (!state) return null;
  const { components, tags, at } = state;
  const asks = new Map<string, EpochMs>();
  for (const { phase, rollout, place_asked_at: asked } of components) {
    const owner = phase === 'waiting' && rollout ? ownerOf(rollout) : null;
    if (owner !== null && asked) asks.set(owner, asked);
  }
  const isOut = components.some(({ phase }) => OUT.includes(phase));
  const seen = seenMs(record, watchedSinceMs);
  const told = { isOut, isStuck: components.some(isStuck) };
  return { robot, tags, online, seenMs: seen, reportedMs: at, asks, ...told };
}

/** True for a robot that matters to a budget although it holds nothing. */
export const isBusy = ({ state }: Pick<RobotRecord, 'state'>): boolean =>
  state?.components.some((one) => OUT.includes(one.phase) || Boolean(one.place_asked_at)) === true;

export interface PlaceFacts {
  /** The rollout whose progress has the places. */
  readonly owner: string;
  readonly budget: Budget;
  /** Those that ask, are out of service or hold a place of any rollout. */
  readonly robots: ReadonlyMap<RobotId, PlaceRobot>;
  /** Robots that hold places of other rollouts. */
  readonly others: readonly RobotId[];
  /** False while the rollout is not open, or robots have not reported yet. */
  readonly mayGrant: boolean;
  readonly now: EpochMs;
}

export interface PlaceStep {
  readonly places: readonly Place[];
  readonly granted: readonly RobotId[];
  readonly freed: readonly RobotId[];
}

/** One pass: takes back what is over, then grants what is free. */
export function stepPlaces(places: readonly Place[], facts: PlaceFacts): PlaceStep {
  const kept = places.filter((place) => isListed(place, facts));
  const freed = places.filter((place) => !kept.includes(place)).map(({ robot }) => robot);
  if (!facts.mayGrant) return { places: kept, granted: [], freed };
  const used = takenIn(kept, facts);
  const next = [...kept];
  const granted: RobotId[] = [];
  for (const { robot, askedAtMs, tags } of waitersOf(kept, facts)) {
    if (next.length >= LIMITS.placesMax) break;
    const own = placesOf(facts.budget, tags);
    if (!own.every((name) => countIn(used, name) < facts.budget.at_most)) continue;
    for (const name of own) used.set(name, (used.get(name) ?? new Set()).add(robot));
    next.push({ robot, askedAtMs, untilMs: facts.now + facts.budget.lease_s * 1000 });
    granted.push(robot);
  }
  return { places: next, granted, freed };
}

/**
 * True until the robot reports that this question is over, as one does that is out of service. A
 * report from before the question says nothing: it may have arrived at an earlier controller. A
 * place whose time is over stays while its robot asks the same: that question had its answer, and
 * a robot that hangs must not get a place for ever.
 */
function isListed(place: Place, facts: PlaceFacts): boolean {
  const holder = facts.robots.get(place.robot);
  const asks = holder?.asks.get(facts.owner) === place.askedAtMs;
  const isReported = holder !== undefined && holder.reportedMs >= place.askedAtMs;
  if (isReported && !asks) return false;
  return isLive(place, facts) || (asks && holder?.online === true);
}

/**
 * True while a robot may still use its place. One that went away with a place may have begun before
 * it did, and counts as if it had.
 */
export function isLive(
  { robot, untilMs }: Pick<Place, 'robot' | 'untilMs'>,
  { robots, budget, now }: Pick<PlaceFacts, 'robots' | 'budget' | 'now'>,
): boolean {
  const holder = robots.get(robot);
  const awayMs = holder && !holder.online ? awayEndMs(holder, budget) : 0;
  return now < Math.max(untilMs + graceMs(budget), awayMs);
}

/** Robots of which no place is known count in every place. */
const EVERYWHERE = '*';

const countIn = (used: ReadonlyMap<string, ReadonlySet<RobotId>>, name: string): number =>
  (used.get(name)?.size ?? 0) + (used.get(EVERYWHERE)?.size ?? 0);

/** The robots that are out of service in each place, or may go out at any moment. */
export function takenIn(
  places: readonly Pick<Place, 'robot' | 'untilMs'>[],
  { robots, others, budget, now }: Pick<PlaceFacts, 'robots' | 'others' | 'budget' | 'now'>,
): Map<string, Set<RobotId>> {
  const used = new Map<string, Set<RobotId>>();
  const add = (name: string, robot: RobotId): void => {
    used.set(name, (used.get(name) ?? new Set<RobotId>()).add(robot));
  };
  const out = [...robots.values()].filter((one) => one.isOut && !isApart(one, budget, now));
  const live = places.filter((place) => isLive(place, { robots, budget, now }));
  const all = new Set([...live.map(({ robot }) => robot), ...others, ...out.map((o) => o.robot)]);
  for (const robot of all) {
    const known = robots.get(robot);
    for (const name of known ? placesOf(budget, known.tags) : [EVERYWHERE]) add(name, robot);
  }
  return used;
}

/** Out of service and away for longer than a lease: no other robot waits for it. */
export const isApart = (
  one: Pick<PlaceRobot, 'online' | 'isOut' | 'seenMs'>,
  budget: Pick<Budget, 'lease_s'>,
  now: EpochMs,
): boolean => one.isOut && !one.online && now >= awayEndMs(one, budget);

/** Until then a robot that is away may be out of service, as far as it matters. */
const awayEndMs = (
  { seenMs: seen }: Pick<PlaceRobot, 'seenMs'>,
  { lease_s }: Pick<Budget, 'lease_s'>,
): EpochMs => seen + lease_s * 1000;

type Waiter = Pick<PlaceRobot, 'robot' | 'tags'> & { readonly askedAtMs: EpochMs };

/** In the order of their questions: one that gave its place back stands behind the others. */
function waitersOf(
  kept: readonly Place[],
  { robots, owner }: Pick<PlaceFacts, 'robots' | 'owner'>,
): Waiter[] {
  const holders = new Set(kept.map(({ robot }) => robot));
  const waiters = [...robots.values()].flatMap((one): Waiter[] => {
    const askedAtMs = one.asks.get(owner);
    const isFree = one.online && !one.isOut && !holders.has(one.robot);
    return isFree && askedAtMs !== undefined ? [{ ...one, askedAtMs }] : [];
  });
  return waiters.sort((a, b) => a.askedAtMs - b.askedAtMs || (a.robot < b.robot ? -1 : 1));
}
