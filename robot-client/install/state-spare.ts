/**
 * Spare files for the state of a component: `state/spare-1` and so on, empty, with room of their
 * own. A disk whose blocks or inodes are used up after a swap still takes the states that count
 * boots and lead back: such a state is written into a spare file, which then takes the place of the
 * state file. They are made before a swap, and filled up again when there is room.
 */

import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { isForbidden } from './disk-error.ts';
import type { Disk } from './disk-port.ts';
import type { Layout } from './layout.ts';

/** Something of a person may have some of the names, so there are twice as many. */
const NAMES_PER_SPARE = 2;

const SPARE_MODE = 0o600;

const spareFile = (layout: Layout, nth: number): string => `${layout.state}/spare-${nth}`;

export const isFull = (thrown: unknown): boolean =>
  thrown instanceof DroverError && thrown.code === 'DISK_FULL';

/** False for one that another user made: `recover` runs as root, the agent may not. */
async function mayWrite(disk: Disk, path: string): Promise<boolean> {
  try {
    await (await disk.open(path, 'update', SPARE_MODE)).close();
    return true;
  } catch (thrown) {
    if (isForbidden(thrown)) return false;
    throw thrown;
  }
}

/** An empty file of ours, or room for one; anything else that stands there is not touched. */
async function placesOf(disk: Disk, layout: Layout) {
  const [ready, free]: [string[], string[]] = [[], []];
  for (let nth = 1; nth <= NAMES_PER_SPARE * LIMITS.stateSpares; nth += 1) {
    if (ready.length === LIMITS.stateSpares) break;
    const path = spareFile(layout, nth);
    const { kind, bytes } = await disk.stat(path);
    if (kind === 'absent') free.push(path);
    else if (kind === 'file' && bytes === 0 && (await mayWrite(disk, path))) ready.push(path);
  }
  return { ready, free };
}

const hasRoom = async (disk: Disk, path: string): Promise<boolean> =>
  (await disk.allocated(path)) >= LIMITS.stateSpareBytes;

/** Those that have room come first: the others are of use for their inode alone. */
async function readyOnes(disk: Disk, layout: Layout): Promise<string[]> {
  const { ready } = await placesOf(disk, layout);
  const bare = await withoutRoom(disk, ready);
  return [...ready.filter((path) => !bare.includes(path)), ...bare];
}

/**
 * Makes the spare files that are missing, and gives room to those that have none: the power may
 * have gone between the two, or the file system keeps no room. They are durable with the next
 * state; on btrfs, which logs each file by itself, their room is not.
 * @returns the files that were made or given room
 * @throws DroverError DISK_FULL, DISK_READ_ONLY
 */
export async function fillSpares(disk: Disk, layout: Layout): Promise<readonly string[]> {
  const { ready, free } = await placesOf(disk, layout);
  const made = free.slice(0, LIMITS.stateSpares - ready.length);
  const wanting = [...(await withoutRoom(disk, ready)), ...made];
  if (wanting.length === 0) return [];
  try {
    // Where nothing can be set aside the inode alone is kept.
    await disk.reserve(wanting, LIMITS.stateSpareBytes);
    return wanting;
  } catch (thrown) {
    // An empty file without room would pass for a spare file.
    for (const path of await withoutRoom(disk, made)) await nullIfFailed(disk.unlink(path));
    throw thrown;
  }
}

/** As `fillSpares`, once before a swap: the files are durable by themselves then. */
export async function prepareSpares(disk: Disk, layout: Layout): Promise<void> {
  for (const path of await fillSpares(disk, layout)) {
    const file = await disk.open(path, 'update', SPARE_MODE);
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

/**
 * As `fillSpares`, for each state of a trial. Root may write the files of every user, so it looks
 * closer only where one is missing.
 * @throws DroverError DISK_FULL, DISK_READ_ONLY
 */
export async function refillSpares(disk: Disk, layout: Layout): Promise<void> {
  if (process.geteuid?.() !== 0) return void (await fillSpares(disk, layout));
  for (let nth = 1; nth <= LIMITS.stateSpares; nth += 1) {
    const path = spareFile(layout, nth);
    const { kind, bytes } = await disk.stat(path);
    if (kind === 'file' && bytes === 0 && (await hasRoom(disk, path))) continue;
    return void (await fillSpares(disk, layout));
  }
}

async function withoutRoom(disk: Disk, paths: readonly string[]): Promise<string[]> {
  const bare: string[] = [];
  for (const path of paths) if (!(await hasRoom(disk, path))) bare.push(path);
  return bare;
}

interface Written {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/**
 * Writes a file of the state folder, durably, without making an inode.
 * @returns false when no spare file took it
 * @throws DroverError of the disk
 */
export async function writeFromSpare(
  disk: Disk,
  layout: Layout,
  written: Written,
): Promise<boolean> {
  for (const spare of await readyOnes(disk, layout)) {
    if (!(await wasTaken(disk, spare, written))) continue;
    await disk.syncFolder(layout.state);
    // The state file that went left its inode and its room.
    await nullIfFailed(fillSpares(disk, layout));
    return true;
  }
  return false;
}

/** False when the spare file has too little room; it is a spare file again then. */
async function wasTaken(disk: Disk, spare: string, { path, bytes }: Written): Promise<boolean> {
  const beside = `${path}.new`;
  await disk.rename(spare, beside);
  try {
    await overwrite(disk, beside, bytes);
  } catch (thrown) {
    if (!isFull(thrown)) throw thrown;
    await (await disk.open(beside, 'create', SPARE_MODE)).close();
    await disk.rename(beside, spare);
    return false;
  }
  await disk.rename(beside, path);
  return true;
}

async function overwrite(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'update', SPARE_MODE);
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
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
    const spare = isFull(thrown) ? (await readyOnes(disk, layout)).at(-1) : undefined;
    if (spare === undefined) throw thrown;
    await disk.unlink(spare);
    await make();
  }
}
