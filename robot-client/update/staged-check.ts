/**
 * Looks at a release that waits to be swapped in: days may have gone by since it was unpacked, and
 * a `stop` hook may have removed more than it should. What is damaged is never swapped to.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import { checkRelease } from '../install/seal-check.ts';

const NONE: ReadonlySet<string> = new Set();

const HINT =
  'the version is not to blame: it is removed and unpacked again by itself; find out who changes files under releases/ (a cleaner, a stop hook), and look at the disk (dmesg)';

/**
 * A release without a seal and a recipe passes, as it was staged by an old agent.
 * @param mayHash false: by presence, size and mode alone
 * @throws DroverError RELEASE_DAMAGED
 */
export async function assertStaged(
  disk: Disk,
  layout: Layout,
  { version, mayHash }: { readonly version: string; readonly mayHash: () => boolean },
): Promise<void> {
  const tree = releaseFolder(layout, version);
  const found = await checkRelease(disk, layout, { version, tree, mayHash, known: NONE });
  if (found.kind === 'whole' || found.kind === 'unknown') return;
  const why = found.kind === 'absent' ? 'it is gone' : `${found.path}: ${found.why}`;
  throw new DroverError('RELEASE_DAMAGED', `swap to ${version}: ${why}`, { hint: HINT });
}
