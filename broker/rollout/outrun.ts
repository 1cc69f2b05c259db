/**
 * Notices that robots or relays have heard later words than those which this controller says: its
 * data folder was put back from an older copy, and its numbers begin below what they accept.
 * Without a new term nobody would obey it, a recall included. Sans-I/O.
 */

import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RefusalOf } from '../control/fleet.ts';
import type { RolloutRun } from './record.ts';

const REFUSED_AS_OLD: readonly ErrorCode[] = ['ANNOUNCEMENT_REPLAYED', 'SEQ_CONFLICT'];

export class OutrunWatch {
  #foundMs: MonoMs = -Infinity;

  /**
   * @param now of the clock that never jumps
   * @returns what to say when it has to go on in a later term, at most once in `outrunAgainMs`
   */
  look<T extends { readonly run: RolloutRun }>(
    refusals: readonly RefusalOf[],
    all: readonly T[],
    now: MonoMs,
  ): { readonly tracked: T; readonly text: string } | null {
    if (now - this.#foundMs < LIMITS.outrunAgainMs) return null;
    for (const tracked of all) {
      const [first, ...others] = whoRefuses(refusals, tracked.run);
      if (first === undefined) continue;
      this.#foundMs = now;
      const who = others.length === 0 ? first : `${first} and ${others.length} more`;
      const text = `${who} heard later progress than this controller has: it goes on from there (was its data folder put back from an older copy?)`;
      return { tracked, text };
    }
    return null;
  }
}

/** Those who refuse the very word that was told last. */
function whoRefuses(all: readonly RefusalOf[], { rollout, seq }: RolloutRun): string[] {
  const isOld = (code: string): boolean => REFUSED_AS_OLD.some((one) => one === code);
  return all
    .filter((one) => one.rollout === rollout && one.seq === seq && isOld(one.code))
    .map(({ who }) => who);
}
