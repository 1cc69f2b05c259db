/**
 * Shows the places of a budget: who has one and until when, who waits, and who is counted apart.
 * The API, the page and `drover rollout` print what stands here. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import {
  placesOf,
  placeTaken,
  placeWord,
  type Budget,
  type ToldPlace,
} from '../../shared/rules/budget.ts';
import {
  isApart,
  isLive,
  takenIn,
  type Place,
  type PlaceFacts,
  type PlaceRobot,
} from './places.ts';

export interface PlacesView {
  readonly budget: Budget;
  /** Places in which a robot holds one, waits or is away, in order. */
  readonly places: readonly ToldPlace[];
}

export function showPlaces(granted: readonly Place[], facts: PlaceFacts): PlacesView {
  const { budget, owner, robots, now } = facts;
  const used = takenIn(granted, facts);
  const live = granted.filter((place) => isLive(place, facts));
  const until = new Map(live.map(({ robot, untilMs }) => [robot, untilMs]));
  const inPlace = (isMeant: (one: PlaceRobot) => boolean): Map<string, RobotId[]> => {
    const found = new Map<string, RobotId[]>();
    for (const one of robots.values()) {
      if (!isMeant(one)) continue;
      for (const name of placesOf(budget, one.tags))
        found.set(name, [...(found.get(name) ?? []), one.robot]);
    }
    return found;
  };
  const isWaiting = (one: PlaceRobot): boolean => one.asks.has(owner) && !until.has(one.robot);
  const waiting = inPlace(isWaiting);
  const away = inPlace((one) => isApart(one, budget, now));
  const names = new Set([...used.keys(), ...waiting.keys(), ...away.keys()]);
  const held = (name: string): ToldPlace['held'][number][] =>
    [...(used.get(name) ?? [])].sort().map((robot) => {
      const untilMs = robots.get(robot)?.isOut === true ? undefined : until.get(robot);
      return { robot_id: robot, until: untilMs === undefined ? null : instantText(untilMs) };
    });
  const stuck = (name: string): RobotId[] =>
    [...(used.get(name) ?? [])].filter((one) => robots.get(one)?.isStuck === true).sort();
  const places = [...names].sort().map((place) => ({
    ...{ place, at_most: budget.at_most, held: held(place), stuck: stuck(place) },
    waiting: (waiting.get(place) ?? []).sort(),
    away: (away.get(place) ?? []).sort(),
  }));
  return { budget, places };
}

/** The standing of one robot with a place: it has one, or waits for one; null for neither. */
export interface RobotPlace {
  readonly code: 'PLACE_HELD' | 'PLACE_AWAITED';
  readonly words: string;
}

export function placeOfRobot(view: PlacesView, robot: RobotId): RobotPlace | null {
  const mine = view.places.filter(({ held }) => held.some((one) => one.robot_id === robot));
  const [first] = mine;
  if (first) {
    const until = first.held.find((one) => one.robot_id === robot)?.until ?? null;
    const where = mine.map(({ place }) => placeWord(place)).join(' and ');
    const when = until === null ? 'until it has ended its update' : `until ${until}`;
    return { code: 'PLACE_HELD', words: `has a place in ${where} ${when}` };
  }
  const wanted = view.places.filter(({ waiting }) => waiting.includes(robot));
  if (wanted.length === 0) return null;
  const full = wanted.find(({ held, at_most: most }) => held.length >= most) ?? wanted[0];
  return { code: 'PLACE_AWAITED', words: `waits for a place in ${full ? placeTaken(full) : ''}` };
}
