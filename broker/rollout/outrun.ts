/**
 * Notices that robots or relays have received newer progress than this controller sends: its data
 * folder was restored from an older copy, and its numbers start below what they accept. Without a
 * new term no robot would obey it, not even a recall. The newer progress may have been a stop, so
 * rolling rollouts are paused; one robot among several is not enough for that, because it may be
 * compromised. Sans-I/O.
 */

import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { isTargeted } from '../../shared/rules/rollout-rules.ts';
import { voiceOf, type Fleet, type RefusalOf, type RobotRecord } from '../control/fleet.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';

const REFUSED_AS_OLD: readonly ErrorCode[] = ['ANNOUNCEMENT_REPLAYED', 'SEQ_CONFLICT'];

interface OutrunFacts<T> {
  readonly fleet: Pick<Fleet, 'robots' | 'refusedProgress'>;
  readonly all: readonly T[];
  readonly plans: ReadonlyMap<string, RolloutPlan>;
  /** True while robots are still reconnecting after the start. */
  readonly isEarly: boolean;
  /** On the monotonic clock. */
  readonly now: MonoMs;
}

/** The controller has to continue in a later term. */
export interface Outrun<T> {
  readonly tracked: T;
  readonly text: string;
  /**
   * Why all rolling rollouts are paused; null when only one of several robots reports it and may be
   * wrong.
   */
  readonly pause: string | null;
}

export class OutrunWatch {
  #foundMs: MonoMs = -Infinity;
  /**
   * Robots and relays that have refused since `sinceMs`; one that leaves meanwhile still counts.
   */
  readonly #voices = new Set<string>();
  #sinceMs: MonoMs | null = null;

  /** A robot refuses, and others may follow: until that is known no wave opens. */
  get isWaiting(): boolean {
    return this.#sinceMs !== null;
  }

  /** @returns what to do, at most once in `outrunAgainMs` */
  check<T extends { readonly run: RolloutRun }>(facts: OutrunFacts<T>): Outrun<T> | null {
    const { fleet, all, now } = facts;
    if (now - this.#foundMs < LIMITS.outrunAgainMs) return null;
    const refusals = fleet.refusedProgress();
    const tracked = all.find(({ run }) => whoRefuses(refusals, run).length > 0);
    for (const { run } of all) {
      for (const { voice } of whoRefuses(refusals, run)) this.#voices.add(voice);
    }
    if (this.#voices.size === 0) return null;
    this.#sinceMs ??= now;
    const isOver = !facts.isEarly && now - this.#sinceMs >= LIMITS.outrunGatherMs;
    if (this.#voices.size === 1 && !isOver) return null;
    const found = tracked ?? all[0];
    const voices = [...this.#voices];
    this.#voices.clear();
    this.#sinceMs = null;
    this.#foundMs = now;
    return found ? conclude(found, voices, facts) : null;
  }
}

function conclude<T extends { readonly run: RolloutRun }>(
  tracked: T,
  voices: readonly string[],
  facts: OutrunFacts<T>,
): Outrun<T> {
  const [first = '', ...more] = voices;
  const others = voicesOn(facts).filter((one) => !voices.includes(one)).length;
  if (more.length === 0 && others > 0) {
    const text = `${first} alone says that it heard later progress than this controller has, ${others} others do not: it goes on in a later term, and nothing is paused (${first} may be wrong; was the data folder put back from an older copy?)`;
    return { tracked, text, pause: null };
  }
  const who = more.length === 0 ? first : `${first} and ${more.length} more`;
  const heard = `${who} heard later progress than this controller has`;
  return {
    tracked,
    text: `${heard} (was its data folder put back from an older copy?): it goes on in a later term, and what was rolling is paused`,
    pause: `${heard}: its data folder seems to be an older copy, and this may have been stopped since`,
  };
}

/** The robots and relays that refuse the progress that was published last. */
function whoRefuses(all: readonly RefusalOf[], { rollout, seq }: RolloutRun): RefusalOf[] {
  const isOld = (code: string): boolean => REFUSED_AS_OLD.some((one) => one === code);
  return all.filter((one) => one.rollout === rollout && one.seq === seq && isOld(one.code));
}

/** Robots that are online and concern any of these rollouts, and relays. */
function voicesOn<T extends { readonly run: RolloutRun }>(facts: OutrunFacts<T>): string[] {
  const { all, plans, fleet } = facts;
  const isMeant = ({ robot, state }: RobotRecord, { rollout, component }: RolloutRun): boolean => {
    if (!state?.components.some(({ name }) => name === component)) return false;
    const plan = plans.get(rollout);
    return !plan || isTargeted(plan.rollout, { robot, arch: state.arch, tags: state.tags });
  };
  const meant = fleet
    .robots()
    .filter((one) => one.online && all.some(({ run }) => isMeant(one, run)));
  return [...new Set(meant.map(voiceOf))];
}
