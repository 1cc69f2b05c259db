/**
 * The questions that the decisions about a rollout ask of its members. A list answers them by
 * counting all of it; the index (rollout-index.ts) answers them from counts that it keeps. Both
 * must give the same answers: the list is the oracle of the index. Sans-I/O.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Member, MemberClass, MemberContext, RobotEnding } from './classify.ts';
import { countAll, isOfWave, spentOf, type WaveRange } from './counters.ts';
import type { Attempts } from './gate-types.ts';
import { needsMending, tellWhyNot } from './outcome.ts';
import type { RolloutRun, Stage } from './record.ts';
import { planThreshold, reachOf } from './waves.ts';

/** Robots, each with its code, for a sentence. */
export interface NamedRobots {
  readonly count: number;
  /** The first `examplesMax` of them, as `ROBOT CODE`. */
  readonly named: readonly string[];
}

export interface Members {
  readonly size: number;
  /** At least one of each kind that is there: enough to ask if any member is so. */
  samples(threshold: number): readonly MemberClass[];
  /**
   * How the update went for those whose turn has come, since the rollout began.
   * @param since see `namedSince`
   */
  countAll(wave: WaveRange, since?: number | null): Attempts;
  /** At least the first `count` that are in order from a fraction on; see waves.ts. */
  inOrder(previous: number, count: number): readonly MemberClass[];
  /** Those that are online and cannot take it. */
  unable(): NamedRobots;
  /** Says why no robot runs the version. */
  whyNot(): string;
  /** Robots of the open wave that have ended it and no longer count. */
  countSpent(wave: WaveRange): number;
}

/** @param marks how each robot ended the rollout before, also those that are no members now */
export function listMembers(
  members: readonly Member[],
  rollout: MemberContext['plan']['rollout'],
  marks: ReadonlyMap<RobotId, { readonly outcome: RobotEnding | null }> = new Map(),
): Members {
  return {
    size: members.length,
    samples: () => members,
    countAll: (wave, since) => countAll(members, wave, since),
    inOrder: () => members,
    unable: () => nameUnable(members.filter(needsMending)),
    whyNot: () => tellWhyNot(members),
    countSpent(run) {
      const known = new Map(members.map((one) => [one.robot, one]));
      return [...marks].filter(([robot, { outcome }]) => {
        const spent = spentOf(robot, known.get(robot), { rollout, outcome });
        return spent !== null && isOfWave(spent, run);
      }).length;
    },
  };
}

/** @param members in the order of the robots */
export const nameUnable = (members: readonly Pick<Member, 'robot' | 'why'>[]): NamedRobots => ({
  count: members.length,
  named: members.slice(0, LIMITS.examplesMax).map(({ robot, why }) => `${robot} ${why}`),
});

/** How far a wave opens over these members; see waves.ts. */
export function thresholdOf(
  { share }: Pick<Stage, 'share'>,
  members: Members,
  { previous, minCanaries }: { previous: number; minCanaries: number },
): number {
  const inOrder = members.inOrder(previous, reachOf(minCanaries));
  return planThreshold({ members: inOrder, share, previous, minCanaries });
}

export const hasCandidate = (members: Members, { threshold }: RolloutRun): boolean =>
  members.samples(threshold).some(({ kind }) => kind === 'candidate');
