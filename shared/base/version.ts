/**
 * Semantic versions as Drover uses them: strict syntax, bounded length, total order by precedence.
 * Sans-I/O.
 */

// The three that are used, not the package: it loads fifty files, at each start of a program.
import compare from 'semver/functions/compare.js';
import gte from 'semver/functions/gte.js';
import valid from 'semver/functions/valid.js';
import { LIMITS } from './limits.ts';

/** semver forgives a leading `v` and blanks or a line end around: none may enter a folder's name. */
const VERSION_TEXT = /^\d[0-9A-Za-z.+-]*$/;

/** Strict semver 2.0.0, no leading v, safe as a directory name. [P-1.5] */
export function isVersion(text: string): boolean {
  if (text.length > LIMITS.versionLengthMax || !VERSION_TEXT.test(text)) return false;
  return valid(text) !== null;
}

/** Negative, zero or positive as `a` is below, equal to or above `b`. Build metadata does not count. */
export function compareVersions(a: string, b: string): number {
  return compare(a, b);
}

export function versionMeets(version: string, minimum: string): boolean {
  return gte(version, minimum);
}
