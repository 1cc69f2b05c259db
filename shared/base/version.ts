/**
 * Semantic versions as Drover uses them: strict syntax, bounded length, total order by precedence.
 * Sans-I/O.
 */

// The ones that are used, not the package: it loads fifty files, at each start of a program.
import Range from 'semver/classes/range.js';
import compare from 'semver/functions/compare.js';
import gte from 'semver/functions/gte.js';
import valid from 'semver/functions/valid.js';
import { LIMITS } from './limits.ts';

/** semver forgives a leading `v` and blanks or a line end around: none may enter a folder's name. */
const VERSION_TEXT = /^\d[0-9A-Za-z.+-]*$/;
/** Printable on one line, and no leading or trailing blank. */
const RANGE_TEXT = /^[0-9A-Za-z.+*<>=~^|-](?:[0-9A-Za-z.+*<>=~^| -]*[0-9A-Za-z.+*-])?$/;

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

/** A range of versions as npm writes it, such as `>=2.1 <3`. [P-3.12] */
export function isVersionRange(text: string): boolean {
  if (text.length > LIMITS.versionRangeLengthMax || !RANGE_TEXT.test(text)) return false;
  return rangeOf(text) !== null;
}

/**
 * A pre-release is in a range only when the range names a pre-release of the same three numbers:
 * `3.0.0-rc.1` is not in `>=2.1 <3`, nor is `2.2.0-rc.1`. A text that is no range holds nothing.
 */
export function isInRange(version: string, range: string): boolean {
  return rangeOf(range)?.test(version) === true;
}

function rangeOf(text: string): Range | null {
  try {
    return new Range(text);
  } catch (thrown) {
    if (thrown instanceof TypeError) return null; // as semver reports a text that is no range
    throw thrown;
  }
}
