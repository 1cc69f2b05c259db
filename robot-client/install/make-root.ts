/** Makes the root of a component and the folders in it, durably. */

import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import type { Disk } from './disk-port.ts';
import type { Layout } from './layout.ts';

const OTHERS_MAY_WRITE = 0o002;
const SHUT = 0o755;

/** Makes what is missing of a root, durably: a release in a root that is lost is lost as well. */
export async function prepareLayout(disk: Disk, layout: Layout): Promise<void> {
  await makeRoot(disk, layout);
  const { root, releases, staging, bases, seals, state } = layout;
  const folders = [root, releases, staging, bases, seals, state];
  for (const folder of folders) await disk.mkdir(folder);
  for (const folder of folders) await shut(disk, folder);
  // A process that was killed leaves names that are seen and not durable yet: before anything is
  // built on them they are made so. The folders below come first: what is about to leave the root
  // must have arrived there.
  for (const folder of [layout.releases, layout.state, layout.root]) await disk.syncFolder(folder);
}

/**
 * Takes the right to write from everybody else: an agent of 0.1 that ran with a umask of 0 made its
 * folders so, and then any user could replace a release that was verified. A folder of another user
 * stays as it is: fleet/owner-watch.ts reports its owner.
 */
async function shut(disk: Disk, folder: string): Promise<void> {
  const { kind, mode } = await disk.stat(folder);
  if (kind !== 'folder' || (mode & OTHERS_MAY_WRITE) === 0) return;
  await nullIfFailed(disk.chmod(folder, mode & SHUT));
}

/** `state` is made only in a durable root, so where it is there is nothing to do. */
export async function makeRoot(disk: Disk, layout: Layout): Promise<void> {
  if ((await disk.kind(layout.state)) === 'folder') return;
  const made = [layout.root];
  for (let above = folderAbove(layout.root); (await disk.kind(above)) === 'absent';) {
    made.push(above);
    above = folderAbove(above);
  }
  await disk.mkdir(layout.root);
  for (const folder of made) {
    try {
      await disk.syncFolder(folderAbove(folder));
    } catch (thrown) {
      // A folder that may not be opened (/home is often 0711) belongs to the creator of the root.
      if (!(thrown instanceof DroverError)) throw thrown;
    }
  }
}

function folderAbove(path: string): string {
  const cut = path.lastIndexOf('/');
  if (cut < 0) return '.';
  return cut === 0 ? '/' : path.slice(0, cut);
}
