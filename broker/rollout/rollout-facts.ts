/**
 * The facts about one rollout from which its robots are listed and its commands are described: from
 * the controller where this broker leads it, else from what is announced and published. Sans-I/O.
 */

import type { Announcement } from '../../shared/formats/announcement.ts';
import { nullIfRefused } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs, RobotId } from '../../shared/base/ids.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import { needsController } from '../../shared/rules/rollout-rules.ts';
import type { RobotRecord } from '../control/fleet.ts';
import type { CounterMark } from './counters.ts';
import type { PlacesView } from './place-view.ts';
import { OBEYED, type Recall } from './recall.ts';
import type { Reconciled } from './reconcile.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';
import type { RefusedMember } from './sets.ts';
import type { AuditEntry, RolloutCommand, RunView, Speaker } from './rollout-view.ts';
import { withdraw } from './transitions.ts';

export interface RolloutFacts {
  readonly id: string;
  /** Null when it is no longer announced. */
  readonly plan: Pick<RolloutPlan, 'rollout' | 'manifest'> | null;
  /** The record of the controller; null while there is none. */
  readonly run: RolloutRun | null;
  /** How far it is open to the fleet; null before a wave has opened. */
  readonly open: { readonly wave: number; readonly threshold: number } | null;
  readonly robots: readonly RobotRecord[];
  readonly now: EpochMs;
  readonly watchedSinceMs: EpochMs;
  readonly plans?: ReadonlyMap<string, RolloutPlan>;
  readonly marks?: ReadonlyMap<RobotId, CounterMark> | undefined;
  /** Places of its budget; null or absent without one, or where another controller leads. */
  readonly places?: PlacesView | null;
}

/** As the controller of this broker knows it. */
export interface LedFacts extends RolloutFacts {
  readonly plan: RolloutPlan | null;
  /** Null before this controller has reconciled it. */
  readonly reconciled: Reconciled | null;
  readonly controller: string;
  readonly leading: boolean;
  /** Time until the first wave may open. */
  readonly startsInMs: MonoMs;
  /** The robots that have not gone back. */
  readonly recall: Recall;
}

/** The part of the controller that the HTTP API uses. */
export interface ControllerPort {
  /**
   * @returns rollouts of the set that wanted another signature
   * @throws DroverError NOT_FOUND, NOT_LEADING, ROLLOUT_FINAL, ROLLOUT_COMMAND_INVALID,
   *   APPROVAL_TOO_EARLY
   */
  command(id: string, command: RolloutCommand, by: Speaker): Promise<RefusedMember[]>;
  /**
   * Oldest first.
   * @param after number of the last entry that the caller has; 0 for none
   */
  history(id: string, after: number, limit: number): Promise<AuditEntry[]>;
  view(id: string): RunView | null;
  /** Null for a rollout that was never announced here. */
  facts(id: string): LedFacts | null;
}

/** Null for a rollout that is neither recorded nor announced. */
export function ledFacts(
  known: {
    readonly id: string;
    readonly tracked: Shown | undefined;
    readonly heard: Heard;
    readonly index: { recallOf(run: RolloutRun): Recall };
    /** Asked only where robots are listed: it copies the whole fleet. */
    readonly fleet: { robots(): readonly RobotRecord[] };
  },
  more: Pick<
    LedFacts,
    'controller' | 'leading' | 'startsInMs' | 'places' | 'watchedSinceMs' | 'now'
  >,
): LedFacts | null {
  const { id, heard } = known;
  const { plans } = heard;
  const plan = plans.get(id) ?? null;
  const shown = shownOf(plan, known, more);
  if (!shown && !plan) return null;
  // Shown at once, though the next pass writes it.
  const isGone = shown !== null && plan === null;
  const run = isGone ? withdraw(shown.run, true, heard.endOf(shown.run)).run : (shown?.run ?? null);
  const { reconciled = null, marks = new Map() } = shown ?? {};
  const recall = run ? known.index.recallOf(run) : OBEYED;
  return {
    ...{ ...more, id, plan, plans, run, open: run, reconciled, marks, recall },
    get robots() {
      return known.fleet.robots();
    },
  };
}

type Shown = Pick<LedFacts, 'reconciled' | 'marks'> & { readonly run: RolloutRun };

interface Heard {
  readonly plans: ReadonlyMap<string, RolloutPlan>;
  endOf(run: RolloutRun): Parameters<typeof withdraw>[2];
  newerThan(run: RolloutRun | null, plan: RolloutPlan, now: EpochMs): { run: RolloutRun } | null;
}

/** A follower shows the leader's progress when that is newer than its own record. */
function shownOf(
  plan: RolloutPlan | null,
  { tracked, heard }: { readonly tracked: Shown | undefined; readonly heard: Heard },
  { leading, now }: Pick<LedFacts, 'leading' | 'now'>,
): Shown | null {
  const isFollower = plan !== null && !leading;
  const newer = isFollower ? heard.newerThan(tracked?.run ?? null, plan, now) : null;
  if (!newer) return tracked ?? null;
  return { run: newer.run, reconciled: null, marks: tracked?.marks };
}

/** Null when it is not announced, or its manifest cannot be parsed. */
export function factsOfAnnounced(
  id: string,
  input: {
    readonly announcement: Announcement | null;
    readonly progress: Progress | null;
    readonly robots: readonly RobotRecord[];
  },
): RolloutFacts | null {
  const rollout = input.announcement?.rollouts.find((one) => one.id === id);
  const manifest = rollout && nullIfRefused(() => parseManifest(rollout.manifest));
  if (!rollout || !manifest) return null;
  const whole = needsController(rollout) ? null : { wave: 1, threshold: 1 };
  return {
    id,
    plan: { rollout, manifest },
    run: null,
    open: input.progress ?? whole,
    robots: input.robots,
    // No controller watches these robots, so none of them counts as vanished.
    now: 0,
    watchedSinceMs: 0,
  };
}
