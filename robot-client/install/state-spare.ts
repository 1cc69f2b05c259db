/**
 * Spare files for the state of a component: `state/spare-1` and so on, empty, with room of their
 * own. A disk whose blocks or inodes are used up after a swap still takes the states that count
 * boots and lead back: such a state is written into a spare file, which then takes the place of the
 * state file. They are made before a swap, and filled up again when there is room.
 */

import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Disk } from './disk-port.ts';
import type { Layout } from './layout.ts';

/** Something of a person may have some of the names, so there are twice as many. */
const NAMES_PER_SPARE = 2;

const spareFile = (layout: Layout, nth: number): string => `${layout.state}/spare-${nth}`;

export const isFull = (thrown: unknown): boolean =>
  thrown instanceof DroverError && thrown.code === 'DISK_FULL';

/** An empty file of ours, or room for one; anything else that stands there is not touched. */
async function placesOf(disk: Disk, layout: Layout) {
  const [ready, free]: [string[], string[]] = [[], []];
  for (let nth = 1; nth <= NAMES_PER_SPARE * LIMITS.stateSpares; nth += 1) {
    if (ready.length === LIMITS.stateSpares) break;
    const path = spareFile(layout, nth);
    const { kind, bytes } = await disk.stat(path);
    if (kind === 'absent') free.push(path);
    else if (kind === 'file' && bytes === 0) ready.push(path);
  }
  return { ready, free };
}

/**
 * Makes the spare files that are missing. Their names are durable with the next state.
 * @throws DroverError DISK_FULL, DISK_READ_ONLY
 */
export async function fillSpares(disk: Disk, layout: Layout): Promise<void> {
  const { ready, free } = await placesOf(disk, layout);
  for (const path of free.slice(0, LIMITS.stateSpares - ready.length)) {
    await disk.reserve(path, LIMITS.stateSpareBytes);
    // Where nothing can be set aside the inode alone is kept.
    const file = await disk.open(path, 'update', 0o600);
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

/**
 * Writes a file of the state folder, durably, without making an inode.
 * @returns false when there is no spare file
 * @throws DroverError of the disk
 */
export async function writeFromSpare(
  disk: Disk,
  layout: Layout,
  { path, bytes }: { readonly path: string; readonly bytes: Uint8Array },
): Promise<boolean> {
  const [spare] = (await placesOf(disk, layout)).ready;
  if (spare === undefined) return false;
  const beside = `${path}.new`;
  await disk.rename(spare, beside);
  const file = await disk.open(beside, 'update', 0o600);
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(beside, path);
  await disk.syncFolder(layout.state);
  // The state file that went left its inode and its room.
  await nullIfFailed(fillSpares(disk, layout));
  return true;
}

/** Runs `make`; on a full disk once more with the inode of a spare file. */
export async function withSpareInode(
  disk: Disk,
  layout: Layout,
  make: () => Promise<void>,
): Promise<void> {
  try {
    await make();
  } catch (thrown) {
    const spare = isFull(thrown) ? (await placesOf(disk, layout)).ready[0] : undefined;
    if (spare === undefined) throw thrown;
    await disk.unlink(spare);
    await make();
  }
}
