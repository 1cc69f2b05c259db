/** Finds the releases that Drover made, and those known to be whole, whatever leads to them. */

import { nullIfFailed } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { isVersion } from '../../shared/base/version.ts';
import type { Disk } from './disk-port.ts';
import { ADOPTED_SEAL, releaseFolder, type Layout } from './layout.ts';
import { checkRelease } from './seal-check.ts';

const NONE: ReadonlySet<string> = new Set();

/**
 * Versions of releases/ that are whole by their seal or recipe. One that cannot be read is not.
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
    if (await isWholeRelease(disk, layout, version, mayHash)) whole.push(version);
  }
  return whole;
}

/** Also false for a release that cannot be read. @param mayHash as for `wholeReleases` */
export async function isWholeRelease(
  disk: Disk,
  layout: Layout,
  version: string,
  mayHash: () => boolean,
): Promise<boolean> {
  const input = { version, tree: releaseFolder(layout, version), mayHash, known: NONE };
  return (await checkRelease(disk, layout, input)).kind === 'whole';
}

/** Versions with a folder in releases/ and a record of Drover's: a recipe or a seal. */
export async function ourReleases(disk: Disk, layout: Layout): Promise<string[]> {
  const list = async (folder: string): Promise<string[]> =>
    (await nullIfFailed(disk.list(folder))) ?? [];
  const records = new Set([...(await list(layout.bases)), ...(await list(layout.seals))]);
  const found: string[] = [];
  for (const name of (await list(layout.releases)).filter(isVersion)) {
    if (!records.has(name) && !records.has(`${ADOPTED_SEAL}${name}`)) continue;
    const kind = await nullIfFailed(disk.kind(releaseFolder(layout, name)));
    if (kind === 'folder') found.push(name);
  }
  return found.slice(0, LIMITS.unlinkedMax);
}
