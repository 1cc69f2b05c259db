/**
 * Decides which component of a robot may stop and start its application: one at a time, so that a
 * robot of two components never has both of them down, and none is judged while another restarts. A
 * rollback comes before a swap; among the same kind the oldest comes first. A step that a power cut
 * or a restart of the agent interrupted does not wait: it is half done, and continues at once.
 * Components of one set go together (set-verdict.ts orders them): they do not wait for each other,
 * and nothing comes between them. Sans-I/O.
 */

import type { RobotPhase } from '../../shared/formats/messages.ts';
import { isChanging } from '../../shared/rules/running-version.ts';

export interface SwapWish {
  readonly component: string;
  readonly kind: 'swap' | 'rollback';
  /** Counts up with each wish on this robot. */
  readonly nth: number;
  /** Id of the set that it swaps or goes back with; null or absent for none. */
  readonly set?: string | null | undefined;
}

export interface SwapFacts {
  /**
   * Components in the middle of a swap or a rollback, and their sets. Several only in one set, or
   * after a restart.
   */
  readonly busy: ReadonlyMap<string, string | null>;
  /** All that wait, this one among them. */
  readonly wishes: readonly SwapWish[];
}

/** @returns the component that goes first; null when this one may begin */
export function goesFirst(wish: SwapWish, { busy, wishes }: SwapFacts): string | null {
  const others = [...busy].filter(([component]) => component !== wish.component);
  const isAlly = (set: string | null): boolean => set !== null && set === wish.set;
  const blocking = others.find(([, set]) => !isAlly(set));
  if (blocking) return blocking[0];
  if (others.length > 0) return null;
  const first = wishes
    .filter((other) => other.component !== wish.component && isBefore(other, wish))
    .reduce<SwapWish | null>((best, one) => (best && isBefore(best, one) ? best : one), null);
  return first?.component ?? null;
}

function isBefore(a: SwapWish, b: SwapWish): boolean {
  if (a.kind !== b.kind) return a.kind === 'rollback';
  return a.nth < b.nth;
}

/** The application of a component may be down or on trial. `stuck` waits and is none of it. */
export function isMidSwap(phase: RobotPhase): boolean {
  return isChanging(phase);
}

/** True for phases in which a claim is kept: a swap takes it in `waiting`. */
export function mayKeepClaim(phase: RobotPhase): boolean {
  return phase === 'waiting' || isMidSwap(phase);
}
