/**
 * Rules of a budget: at most so many robots of one place are out of service at once. The publisher
 * writes it, the controller grants by it, a robot asks by it, and all use the same words. A place
 * of the warehouse is what a tag names (`hall=A`), or everything that the rollout is for.
 * Sans-I/O.
 */

import { formatDurationMs } from '../base/durations.ts';
import type { EpochMs, MonoMs, RobotId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import type { Rollout } from '../formats/announcement.ts';
import type { Progress } from '../formats/progress.ts';

export type Budget = NonNullable<Rollout['budget']>;

/** `per` of a budget for everything that the rollout is for. */
export const PER_FLEET = 'fleet';
const TAG_PREFIX = 'tag:';

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
  return own.length > 0 ? [...new Set(own)].sort() : [`no ${tag}`];
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
  | { readonly kind: 'late' }
  | { readonly kind: 'held'; readonly untilMs: EpochMs; readonly leftMs: number };

/** The answer to a question in the progress of the owner. [P-6.11] */
export function answerTo(
  { robot, askedAtMs }: PlaceAsk,
  progress: Progress | undefined,
  now: EpochMs,
): PlaceAnswer {
  const isOpen = progress && !progress.recall && now < progress.expires_at;
  const found = progress?.places.find((one) => one.robot === robot && one.asked_at === askedAtMs);
  if (!isOpen || !found) return { kind: 'none' };
  if (now >= found.until) return { kind: 'late' };
  // The robot may have a clock that is wrong: it counts the span that was granted by another one.
  return { kind: 'held', untilMs: found.until, leftMs: found.until - progress.issued_at };
}

/** True while a place may be used: by the wall clock, and by one that never jumps. */
export const mayUse = (
  held: { readonly untilMs: EpochMs; readonly untilMonoMs: MonoMs },
  at: { readonly now: EpochMs; readonly mono: MonoMs },
): boolean => at.now < held.untilMs && at.mono < held.untilMonoMs;

/** `hall=A`, or `this rollout`. */
export const placeWord = (place: string): string => (place === PER_FLEET ? 'this rollout' : place);

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
}

/** Robots that are named in one line. */
const NAMED_MAX = 5;

const names = (robots: readonly string[]): string =>
  robots
    .slice(0, NAMED_MAX)
    .map((one) => printable(one, LIMITS.idLengthMax))
    .join(', ') + (robots.length > NAMED_MAX ? ', …' : '');

/** `hall=A (1 of 1 taken: amr-3 until 2026-01-01T00:00:00.000Z)`. */
export function placeTaken({ place, at_most: most, held }: ToldPlace): string {
  const until = (one: ToldPlace['held'][number]): string =>
    one.until === null ? one.robot_id : `${one.robot_id} until ${one.until}`;
  const who = held.length === 0 ? '' : `: ${names(held.map(until))}`;
  return `${placeWord(printable(place))} (${held.length} of ${most} taken${who})`;
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
