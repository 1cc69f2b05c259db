/**
 * Rules of a budget: at most so many robots of one place are out of service at once. The publisher
 * writes it, the controller grants by it, a robot asks by it, and all use the same words. A place
 * of the warehouse is what a tag names (`hall=A`), or everything that the rollout is for.
 * Sans-I/O.
 */

import { formatDurationMs } from '../base/durations.ts';
import { DroverError, toProblem, type Problem } from '../base/errors.ts';
import type { EpochMs, MonoMs, RobotId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import type { Rollout } from '../formats/announcement.ts';
import type { Progress } from '../formats/progress.ts';

export type Budget = NonNullable<Rollout['budget']>;

/** `per` of a budget for everything that the rollout is for. */
export const PER_FLEET = 'fleet';
const TAG_PREFIX = 'tag:';
/** A place of robots without the tag. */
const NO_TAG = 'no ';

/** The name of a tag, as in `tag:hall`; null for the whole target. */
export const tagOf = ({ per }: Pick<Budget, 'per'>): string | null =>
  per.startsWith(TAG_PREFIX) ? per.slice(TAG_PREFIX.length) : null;

/**
 * The places that a robot is in: its tags `hall=A` or `hall:A` for `tag:hall`, at least one.
 * Robots without such a tag are in one place together. [P-6.11]
 */
export function placesOf(budget: Pick<Budget, 'per'>, tags: readonly string[]): string[] {
  const tag = tagOf(budget);
  if (tag === null) return [PER_FLEET];
  const own = tags.filter((one) => one.startsWith(`${tag}=`) || one.startsWith(`${tag}:`));
  return own.length > 0 ? [...new Set(own)].sort() : [`${NO_TAG}${tag}`];
}

/** The rollout whose progress has the places: the first of a set, else the rollout itself. */
export const placeOwner = ({ id, set }: Pick<Rollout, 'id' | 'set'>): string =>
  set?.members[0]?.rollout ?? id;

/** How long a place that was not used counts after its lease, in milliseconds. [P-6.11] */
export const graceMs = ({ lease_s }: Pick<Budget, 'lease_s'>): number => lease_s * 250;

/** A question of a robot, as it was made. */
export interface PlaceAsk {
  readonly robot: RobotId;
  /** By the robot's clock: it names the question, and no two questions share one. */
  readonly askedAtMs: EpochMs;
}

export type PlaceAnswer =
  | { readonly kind: 'none' }
  /** Its lease was over before it was used. */
  | ({ readonly kind: 'late' } & PlaceTime)
  | ({ readonly kind: 'held' } & PlaceTime);

/** The time of a place, by the clock of the controller. */
export interface PlaceTime {
  readonly untilMs: EpochMs;
  /** From the progress that names it until its end. */
  readonly leftMs: number;
}

/** The answer to a question in the progress of the owner. [P-6.11] */
export function answerTo(
  { robot, askedAtMs }: PlaceAsk,
  progress: Progress | undefined,
  now: EpochMs,
): PlaceAnswer {
  const isOpen = progress && !progress.recall && now < progress.expires_at;
  const found = progress?.places.find((one) => one.robot === robot && one.asked_at === askedAtMs);
  if (!isOpen || !found) return { kind: 'none' };
  // The robot may have a clock that is wrong: it counts the span that was granted by another one.
  const lease = { untilMs: found.until, leftMs: found.until - progress.issued_at };
  return { kind: now >= found.until ? 'late' : 'held', ...lease };
}

/**
 * Finds that the clock of a robot is ahead of the controller's. A place is granted after its
 * question. So its lease cannot be over while less than its span has passed since the question, by
 * both clocks of the robot. Null for a place that is not over, or that came late.
 * @param asked when the robot asked; `at` is now
 */
export function placeClockProblem(
  { untilMs, leftMs }: PlaceTime,
  asked: { readonly now: EpochMs; readonly mono: MonoMs },
  at: { readonly now: EpochMs; readonly mono: MonoMs },
): Problem | null {
  const sinceMs = Math.max(at.now - asked.now, at.mono - asked.mono);
  if (at.now < untilMs || sinceMs >= leftMs) return null;
  const aheadMs = at.now - (untilMs - leftMs) - sinceMs;
  if (aheadMs < 1000) return null;
  const unitMs = aheadMs < 120_000 ? 1000 : 60_000;
  const least = formatDurationMs(Math.floor(aheadMs / unitMs) * unitMs);
  return clockOff(
    `the clock of this robot is at least ${least} ahead of the controller's, so its place was over too early`,
  );
}

/** A question that waited for longer than a lease proves nothing; several in a row are no chance. */
export const placesLateProblem = (inRow: number): Problem | null =>
  inRow < LIMITS.placesLateMax
    ? null
    : clockOff(
        `${inRow} places in a row were over before they came, as with a clock that is ahead of the controller's`,
      );

const clockOff = (why: string): Problem =>
  toProblem(new DroverError('ROBOT_CLOCK_OFF', `use a place of the budget: ${why}`));

/** True while a place may be used: by the wall clock, and by one that never jumps. */
export const mayUse = (
  held: { readonly untilMs: EpochMs; readonly untilMonoMs: MonoMs },
  at: { readonly now: EpochMs; readonly mono: MonoMs },
): boolean => at.now < held.untilMs && at.mono < held.untilMonoMs;

/** `hall=A`, `this rollout`, or `the group without a hall`. */
export function placeWord(place: string): string {
  if (place === PER_FLEET) return 'this rollout';
  return place.startsWith(NO_TAG) ? `the group without a ${place.slice(NO_TAG.length)}` : place;
}

/** `a place in hall=A, where at most 1 robot is out of service at once`. */
export function placeWait({ at_most: most }: Pick<Budget, 'at_most'>, places: string[]): string {
  const robots = most === 1 ? '1 robot is' : `${most} robots are`;
  return `a place in ${places.map(placeWord).join(' and ')}, where at most ${robots} out of service at once`;
}

/** `at most 2 robots of each hall out of service at once; a place is kept for 15m`. */
export function budgetLine({ at_most: most, per, lease_s: leaseS }: Budget): string {
  const tag = tagOf({ per });
  const where = tag === null ? 'of all that it is for' : `of each ${tag}`;
  const robots = most === 1 ? '1 robot' : `${most} robots`;
  return `at most ${robots} ${where} out of service at once; a place is kept for ${formatDurationMs(leaseS * 1000)}`;
}

/** A place as the API shows it. */
export interface ToldPlace {
  /** `hall=A`, or `fleet` for all that the rollout is for. */
  readonly place: string;
  readonly at_most: number;
  /** `until`: it begins before that, or gives it back; null for one that is out of service. */
  readonly held: readonly { readonly robot_id: string; readonly until: string | null }[];
  readonly waiting: readonly string[];
  /** Out of service and away for longer than a lease: it holds up no other robot. */
  readonly away: readonly string[];
  /** Holders that are stuck: only a person can end their update. Absent from an older broker. */
  readonly stuck?: readonly string[] | undefined;
}

/** Robots that are named in one line. */
const NAMED_MAX = 5;

const names = (robots: readonly string[]): string =>
  robots
    .slice(0, NAMED_MAX)
    .map((one) => printable(one, LIMITS.idLengthMax))
    .join(', ') + (robots.length > NAMED_MAX ? ', …' : '');

/** `hall=A (1 of 1 taken: amr-3 until 2026-01-01T00:00:00.000Z)`. */
export function placeTaken({ place, at_most: most, held, stuck = [] }: ToldPlace): string {
  const until = (one: ToldPlace['held'][number]): string => {
    if (one.until !== null) return `${one.robot_id} until ${one.until}`;
    return stuck.includes(one.robot_id) ? `${one.robot_id}, stuck` : one.robot_id;
  };
  const who = held.length === 0 ? '' : `: ${names(held.map(until))}`;
  return `${placeWord(printable(place))} (${held.length} of ${most} taken${who})`;
}

/**
 * Names the robots that are stuck and have all of a place for which others wait: no update there
 * ends before a person has repaired one of them. Null for none.
 */
export function stuckWait(places: readonly ToldPlace[] | null | undefined): string | null {
  const full = (places ?? []).filter(
    ({ waiting, stuck = [], at_most: most }) => waiting.length > 0 && stuck.length >= most,
  );
  if (full.length === 0) return null;
  const robots = names([...new Set(full.flatMap(({ stuck = [] }) => stuck))]);
  const where = names(full.map(({ place }) => placeWord(place)));
  return `${where} is taken by stuck robots: ${robots}; a person has to repair them`;
}

/** The budget of a rollout, and a line for each place in which something happens. */
export function budgetLines(
  budget: Budget | null | undefined,
  places: readonly ToldPlace[] | null,
): string[] {
  if (!budget) return [];
  const lines = (places ?? []).map((one) => {
    const waits =
      one.waiting.length > 0 ? `; ${one.waiting.length} wait: ${names(one.waiting)}` : '';
    const away = one.away.length > 0 ? `; away and not counted: ${names(one.away)}` : '';
    return `  ${placeTaken(one)}${waits}${away}`;
  });
  return [budgetLine(budget), ...lines];
}
