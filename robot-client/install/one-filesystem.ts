/**
 * Checks that an update can be moved into place: what is staged becomes a release by one rename,
 * which works within one file system only. Asked at the start, not after a download.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Layout } from './layout.ts';
import type { Disk } from './disk-port.ts';

/** @throws DroverError ROOT_SPLIT (names the folder) */
export async function assertOneFilesystem(disk: Disk, layout: Layout): Promise<void> {
  const { root, staging, releases, bases, seals } = layout;
  for (const folder of [releases, bases, seals]) {
    if (await disk.canRename(staging, folder)) continue;
    throw new DroverError(
      'ROOT_SPLIT',
      `check ${root}: a staged release cannot be renamed into ${folder}: another file system`,
    );
  }
}

/** Null when an update can be moved into place. */
export async function splitProblem(at: { disk: Disk; layout: Layout }): Promise<Problem | null> {
  try {
    await assertOneFilesystem(at.disk, at.layout);
    return null;
  } catch (thrown) {
    return toProblem(thrown);
  }
}
