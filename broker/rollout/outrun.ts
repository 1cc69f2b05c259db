/**
 * Notices that robots or relays have heard later words than those which this controller says: its
 * data folder was put back from an older copy, and its numbers begin below what they accept.
 * Without a new term nobody would obey it, a recall included. What they heard later may have been a
 * stop, so what rolls is paused; not on the word of one among several, who may be a thief.
 * Sans-I/O.
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
  /** Robots are still coming back after the start. */
  readonly isEarly: boolean;
  /** Of the clock that never jumps. */
  readonly now: MonoMs;
}

/** It has to go on in a later term. */
export interface Outrun<T> {
  readonly tracked: T;
  readonly text: string;
  /** Why all that rolls is paused; null when one among several says so, who need not be right. */
  readonly pause: string | null;
}

export class OutrunWatch {
  #foundMs: MonoMs = -Infinity;
  /** Who has refused since `sinceMs`; one that is gone by the end has said it all the same. */
  readonly #voices = new Set<string>();
  #sinceMs: MonoMs | null = null;

  /** Somebody refuses, and others may follow: until that is known no wave opens. */
  get isWaiting(): boolean {
    return this.#sinceMs !== null;
  }

  /** @returns what has to be done, at most once in `outrunAgainMs` */
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

/** Those who refuse the very word that was told last. */
function whoRefuses(all: readonly RefusalOf[], { rollout, seq }: RolloutRun): RefusalOf[] {
  const isOld = (code: string): boolean => REFUSED_AS_OLD.some((one) => one === code);
  return all.filter((one) => one.rollout === rollout && one.seq === seq && isOld(one.code));
}

/** The voices of robots that are on and hear of any of these rollouts. */
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
