/**
 * The order of trouble among the components of one robot, for every view with one line for it:
 * fleet, page, metrics and command line. A robot whose second component is stuck is a stuck robot.
 * It also tells a problem of now from one that an earlier update left behind: a robot keeps its
 * last problem until it confirms a release. Sans-I/O.
 */

import type { ComponentState, Phase } from '../formats/messages.ts';
import { compareVersions } from '../base/version.ts';

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

type Told = Pick<ComponentState, 'version' | 'phase' | 'last_update'> &
  Partial<Pick<ComponentState, 'target_version' | 'rollout' | 'last_error'>>;

type ToldProblem = NonNullable<ComponentState['last_error']>;

/** The last problem of a component if it belongs to this rollout; else null. */
export function problemIn(
  { last_error: error, last_update: last }: Pick<Told, 'last_error' | 'last_update'>,
  asked: { readonly rollout: string; readonly version: string },
): ToldProblem | null {
  if (!error) return null;
  if (error.version != null && error.version !== asked.version) return null;
  // It came no later than the end of an update of another rollout, so it belongs to that update.
  const isOlder = last != null && error.at !== undefined && error.at <= last.ended_at;
  return isOlder && last.rollout !== asked.rollout ? null : error;
}

/**
 * True when the last problem asks for nothing any more: the robot went back as it was asked to, it
 * runs a higher version, or it takes another release by now.
 */
export function isPastProblem(told: Told): boolean {
  const { last_error: error, version, phase, target_version: target, last_update: last } = told;
  if (!error || error.version == null) return false;
  if (phase !== 'idle') return target != null && target !== error.version;
  if (version !== null && compareVersions(version, error.version) > 0) return true;
  return last?.outcome === 'recalled' && last.version === error.version && last.code === error.code;
}
