/**
 * The order of trouble among the components of one robot, for every view with one line for it:
 * fleet, page, metrics and command line. A robot whose second component is stuck is a stuck robot.
 * Sans-I/O.
 */

import type { Phase } from '../formats/messages.ts';

/** Phases of an update, the most urgent first; worse than idle and better than a problem. */
const UNDER_WAY: readonly Phase[] = [
  ...(['probation', 'swapping', 'waiting', 'staging'] as const),
  ...(['verifying', 'downloading', 'checking', 'idle'] as const),
];

interface Judged {
  readonly phase: Phase;
  readonly last_error?: unknown;
}

/** The lower, the worse. */
function rank({ phase, last_error: error }: Judged): number {
  if (phase === 'stuck') return -3;
  if (phase === 'rolling_back') return -2;
  if (error !== undefined && error !== null) return -1;
  return UNDER_WAY.indexOf(phase);
}

/** A copy, the worst first; equal ones stay in the order of the robot. */
export function worstFirst<T extends Judged>(components: readonly T[]): T[] {
  return components.toSorted((a, b) => rank(a) - rank(b));
}
