/** Finds the releases that are known to be whole, whatever leads to them. */

import { LIMITS } from '../../shared/base/limits.ts';
import { isVersion } from '../../shared/rules/version.ts';
import type { Disk } from './disk-port.ts';
import { releaseFolder, type Layout } from './layout.ts';
import { checkRelease } from './seal-check.ts';

const NONE: ReadonlySet<string> = new Set();

/**
 * Versions of releases/ that are whole by their seal or recipe. What cannot be looked at is not.
 * @param mayHash false: by presence, size and mode alone
 */
export async function wholeReleases(
  disk: Disk,
  layout: Layout,
  mayHash: () => boolean = () => false,
): Promise<string[]> {
  const names = (await disk.list(layout.releases)).filter(isVersion);
  const whole: string[] = [];
  for (const version of names.slice(0, LIMITS.releaseNamesMax)) {
    const input = { version, tree: releaseFolder(layout, version), mayHash, known: NONE };
    if ((await checkRelease(disk, layout, input)).kind === 'whole') whole.push(version);
  }
  return whole;
}
