/** Semantic versions as Drover uses them: strict syntax, bounded length, total order by precedence. */

import semver from 'semver';
import { LIMITS } from './limits.ts';

/** Strict semver 2.0.0, no leading v, safe as a directory name. */
export function isVersion(text: string): boolean {
  return text.length <= LIMITS.versionLengthMax && semver.valid(text) !== null && /^\d/.test(text);
}

/** Negative, zero or positive as `a` is below, equal to or above `b`. Build metadata does not count. */
export function compareVersions(a: string, b: string): number {
  return semver.compare(a, b);
}

export function versionIsNewer(candidate: string, than: string): boolean {
  return semver.gt(candidate, than);
}

export function versionMeets(version: string, minimum: string): boolean {
  return semver.gte(version, minimum);
}
