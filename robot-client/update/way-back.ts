/**
 * Looks at a release before the robot goes back to it. A version that is whole is not left for one
 * that lost files, even if the whole one is not healthy: nobody could tell what the other would do.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { ReleaseCheck } from '../install/seal.ts';
import { checkRelease } from '../install/seal-check.ts';

const NONE: ReadonlySet<string> = new Set();

/**
 * Only lost files count, since the application may write its own.
 * @param from what runs; when it lost files too, going back cannot be worse
 * @param to null: to nothing, as before a first install
 * @throws DroverError RELEASE_DAMAGED
 */
export async function assertWayBack(
  disk: Disk,
  layout: Layout,
  { from, to }: { readonly from: string | null; readonly to: string | null },
): Promise<void> {
  if (from === null || to === null || from === to) return;
  const look = (version: string): Promise<ReleaseCheck> =>
    checkRelease(disk, layout, {
      ...{ version, tree: releaseFolder(layout, version), known: NONE },
      ...{ mayHash: () => false, isOnlyLost: true },
    });
  const target = await look(to);
  if (target.kind !== 'damaged' || (await look(from)).kind === 'damaged') return;
  const { path, why } = target;
  throw new DroverError('RELEASE_DAMAGED', `roll back to ${to}: ${path}: ${why}; ${from} runs on`);
}
