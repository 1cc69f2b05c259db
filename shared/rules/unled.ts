/**
 * Describes a rollout that no controller of this broker leads: who leads it, or that robots take it
 * from the announcement alone, and when that is over. Sans-I/O.
 */

import { formatDurationMs } from '../base/durations.ts';
import type { ToldPlace } from './budget.ts';
import { LIMITS } from '../base/limits.ts';
import { isUnled } from './presence.ts';
import { needsController, type StepRules } from './rollout-rules.ts';
import { isUnableCode } from './standstill.ts';
import { LOCAL_TIME, startAwaited } from './start-time.ts';

/** The fields of a run that these sentences need, as the API sends them. */
export interface ToldRun {
  readonly status: string;
  readonly superseded_by: string | null;
  /** Its robots go back, or went back; false from a broker that does not say so. */
  readonly recall: boolean;
  readonly waits_for: string | null;
  readonly soak_until: string | null;
  readonly evidence_until: string | null;
  readonly cannot_go_back: readonly string[];
  readonly leading: boolean;
  /** Absent and null from an older broker. */
  readonly approval?: {
    readonly needed: number;
    readonly by: readonly string[];
    readonly publisher: string | null;
  } | null;
  /** Of a budget; null or absent without one. */
  readonly places?: readonly ToldPlace[] | null;
  readonly attempts: {
    readonly cohort: number;
    readonly reachable: number;
    readonly unable: readonly string[];
  } | null;
}

/** Counts of the robots that a rollout targets. */
export interface ToldRobots {
  readonly targeted: number;
  readonly running: number;
  /** Ran the version because of this rollout and run a higher one now. */
  readonly went_on: number;
  readonly in_progress: number;
  readonly failed: number;
  readonly waiting: number;
  /** Had the version and went back. */
  readonly recalled: number;
  /** By code. */
  readonly excluded: Readonly<Record<string, number>>;
}

/** The fields of a rollout that these sentences need, as the API sends them. */
export interface ToldRollout {
  readonly id: string;
  readonly status: string;
  readonly announced: boolean;
  readonly emergency: boolean;
  /** Absent from an older broker. */
  readonly budget?: StepRules['budget'];
  readonly waves: { percent: number; soak_s: number }[];
  readonly canaries: { tags: string[]; robots: string[] };
  readonly approve_after: number[];
  readonly robots: ToldRobots;
  readonly run: ToldRun | null;
  readonly led: string | null;
  /**
   * Seconds until its controller, which leads, may open the first wave; null when that is open, or
   * when another leads. Absent from an older broker.
   */
  readonly first_wave_in_s?: number | null;
  /** No robot starts before that; absent for a rollout that starts at once. */
  readonly start_at?: string | null | undefined;
  readonly start_local?: string | null | undefined;
}

/**
 * The wait for a controller that leads and reads the reports of the robots first. Null for any
 * other.
 * @param now infinite where an equal sentence means that nothing has changed
 */
export function firstWaveWait(rollout: ToldRollout, now = Number.POSITIVE_INFINITY): string | null {
  const { first_wave_in_s: inS = null } = rollout;
  if (inS === null) return null;
  const start = inS > 0 ? startOf(rollout, { inS, now }) : null;
  if (start !== null) return `for its start at ${start}: no robot begins before (START_AWAITED)`;
  if (isTakenAlready(rollout)) {
    return 'for its controller, which leads it and looks at the robots first; robots take it as announced, since it has one wave for all';
  }
  if (inS <= 0) return 'for the next pass of the controller, which leads it: no wave is open yet';
  const left = Number.isFinite(now) ? `, in about ${formatDurationMs(Math.ceil(inS) * 1000)}` : '';
  return `for the first wave${left}: its controller leads it and looks at the robots first; it takes pause, abort and rollback at once`;
}

/**
 * When it starts; null for no start to come. Without a clock only a wait that is longer than one
 * for the reports of robots is one for the start.
 */
function startOf(
  { start_at: at, start_local: local }: ToldRollout,
  { inS, now }: { readonly inS: number; readonly now: number },
): string | null {
  const atMs = Date.parse(at ?? '');
  const rules = {
    ...(!Number.isNaN(atMs) && { start_at: atMs }),
    ...(typeof local === 'string' && LOCAL_TIME.test(local) && { start_local: local }),
  };
  if (Number.isFinite(now)) return startAwaited(rules, { now });
  return inS * 1000 > LIMITS.startToldMs ? startAwaited(rules, { now: 0, isTimed: false }) : null;
}

/** An older broker does not say who leads; a local controller may have just started. */
const isElsewhere = ({ run, led }: ToldRollout): boolean => run === null && isUnled(led);

/** No progress was published for it, and none is needed. */
export const opensByItself = (rollout: ToldRollout): boolean =>
  isElsewhere(rollout) && rollout.status === 'announced' && !needsController(rollout);

/**
 * Robots need no word of a controller to take it, and none has said that they must not: it is open
 * to all of them from the moment at which it is announced.
 */
export const isTakenAlready = (rollout: ToldRollout): boolean =>
  rollout.run === null && rollout.status === 'announced' && !needsController(rollout);

/** Its end by the reports that this broker knows; null while it continues. */
export function unledEnd(rollout: ToldRollout): 'complete' | 'no_effect' | 'unable' | null {
  if (!opensByItself(rollout)) return null;
  const { targeted, running, went_on, waiting, in_progress, failed } = rollout.robots;
  if (targeted === 0 || waiting + in_progress > 0) return null;
  if (failed > 0 || unableIn(rollout).length > 0) return 'unable';
  return running + went_on > 0 ? 'complete' : 'no_effect';
}

const unableIn = ({ robots }: ToldRollout): [code: string, count: number][] =>
  Object.entries(robots.excluded).filter(([code]) => isUnableCode(code));

const OVER: readonly string[] = ['complete', 'no_effect', 'halted'];

/** The event that it waits for; null for none. */
export function unledWait(rollout: ToldRollout): string | null {
  const { status, led } = rollout;
  if (!isElsewhere(rollout)) {
    return 'no controller of this broker leads it yet; one that has just started looks for a minute first, and takes pause, abort and rollback at once';
  }
  if (OVER.includes(status)) return null;
  const whose = led === 'above' ? 'of the broker above' : 'of another broker';
  if (status !== 'announced') return `for the controller ${whose}, which leads it`;
  if (!opensByItself(rollout)) {
    return led === 'above'
      ? 'for a controller of the broker above: a relay leads none'
      : 'for a controller: this broker leads none (drover-broker --rollout-key)';
  }
  const end = unledEnd(rollout);
  if (end === null) return 'for robots to take it: they need no controller for that';
  if (end !== 'unable') return null;
  const { failed } = rollout.robots;
  const counts = [...(failed > 0 ? [`${failed} failed`] : []), ...unableIn(rollout).map(countOf)];
  return `only for robots that failed or cannot take it: ${counts.join(', ')}`;
}

const countOf = ([code, count]: [string, number]): string => `${count} ${code}`;
