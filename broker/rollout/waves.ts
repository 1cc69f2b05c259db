/**
 * Decides how far a wave opens: the announced share, raised until it has enough robots to prove
 * anything. A threshold never falls, because robots that were let in stay in. Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import { isUnable, type MemberClass } from './classify.ts';

export interface WaveInput {
  /** Enough of them: the first `reachOf(minCanaries)` that are in order from `previous` on. */
  readonly members: readonly MemberClass[];
  /** 0 to 1, as announced. */
  readonly share: number;
  /** Threshold of the wave before; 0 for the first. */
  readonly previous: number;
  readonly minCanaries: number;
}

/** The smallest step between two fractions. */
const STEP = 2 ** -53;

/**
 * Opens over the first `minCanaries` robots that are new in this wave and online. Robots that are
 * offline are skipped only to a bound: a site whose robots are mostly off must not open half of its
 * fleet to find one that is on.
 */
export function planThreshold({ members, share, previous, minCanaries }: WaveInput): number {
  const floor = Math.max(share, previous);
  if (share === 0) return floor;
  const fresh = members
    .filter((one) => isInOrder(one) && one.fraction >= previous)
    .sort((a, b) => a.fraction - b.fraction);
  const near = fresh.slice(0, reachOf(minCanaries)).filter(canAnswer);
  const pool = near.length >= minCanaries ? near : fresh;
  const last = pool[Math.min(minCanaries, pool.length) - 1];
  if (!last || last.fraction < floor) return floor;
  return Math.min(1, last.fraction + STEP);
}

/** How many members decide over how far a wave opens. */
export const reachOf = (minCanaries: number): number => minCanaries * LIMITS.canaryReach;

/** False when every robot that could still take the version already has its turn. */
export function somebodyIsLeft(members: readonly MemberClass[], threshold: number): boolean {
  return members.some(
    (one) =>
      (one.kind === 'candidate' || mayCome(one)) && !one.isCanary && one.fraction >= threshold,
  );
}

/**
 * Explicit canaries have come before, whatever their fraction. A robot that may still come has its
 * place like one that is offline: a wave opened past it would let it in without a gate.
 */
export const isInOrder = (one: MemberClass): boolean =>
  !one.isCanary && (mayCome(one) || (one.kind !== 'excluded' && one.kind !== 'recalled'));
const canAnswer = (one: MemberClass): boolean =>
  !mayCome(one) && (one.online || one.kind !== 'candidate');

/** It takes the version once it is fixed, or once another rollout has updated it far enough. */
const mayCome = (one: MemberClass): boolean => one.isComing || isUnable(one);
