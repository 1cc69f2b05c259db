/**
 * Tells a problem that matters now from one that an earlier update left behind. A robot keeps its
 * last problem until it confirms a release, so a healthy one may report a problem for months.
 * Sans-I/O.
 */

import type { ComponentState } from '../formats/messages.ts';
import { compareVersions } from '../base/version.ts';

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
