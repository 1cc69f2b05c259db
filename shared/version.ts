/** Semantic versions as Drover uses them: strict syntax, bounded length, total order by precedence. */

import semver from 'semver';
import { LIMITS } from './limits.ts';

/** semver forgives a leading `v` and blanks or a line end around: none may enter a folder's name. */
const VERSION_TEXT = /^\d[0-9A-Za-z.+-]*$/;

/** Strict semver 2.0.0, no leading v, safe as a directory name. */
export function isVersion(text: string): boolean {
  if (text.length > LIMITS.versionLengthMax || !VERSION_TEXT.test(text)) return false;
  return semver.valid(text) !== null;
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
