/**
 * Room for an update: what is still to come of it must fit beside what is there. What was
 * downloaded already counts as present, so a robot that resumes is not asked for the same room
 * twice. Leftovers of older updates make way first: only what runs, what can be gone back to and
 * what is in progress is kept.
 */

import { DroverError } from '../../shared/errors.ts';
import { LIMITS } from '../../shared/limits.ts';
import { scratchBytesOf } from '../core/delta.ts';
import { stagingFolder, type Layout } from '../core/layout.ts';
import type { Disk } from '../core/ports.ts';
import type { Job } from '../core/state.ts';
import { pruneReleases } from './swap.ts';

/** A payload without a declared unpacked size is reckoned at this many times its packed one. */
const UNPACKED_GUESS = 4;

/**
 * Bytes of a download that are there, going by the length of its file. The file may have holes, so
 * this can be too many: the download knows better once it has hashed the file.
 */
export async function bytesThere(disk: Disk, path: string): Promise<number> {
  if ((await disk.kind(path)) !== 'file') return 0;
  const file = await disk.open(path, 'read');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

/** @throws DroverError DISK_SPACE_SHORT, DISK_WRITE_FAILED */
export async function assertRoom(input: {
  disk: Disk;
  layout: Layout;
  job: Job;
  missingBytes: number;
}): Promise<void> {
  const { disk, layout, job } = input;
  const unpacked = job.tarBytes ?? job.payloadBytes * UNPACKED_GUESS;
  const scratch = scratchBytesOf(job.delta);
  const want = input.missingBytes + scratch + unpacked + LIMITS.diskSpareBytes;
  const look = async () => {
    const { bytes, inodes } = await disk.free(layout.root);
    // A file system that makes inodes as it needs them (btrfs) has none to count.
    const isShortOfInodes = inodes !== null && inodes < LIMITS.diskSpareInodes;
    return { bytes, inodes, isShortOfInodes, isShort: bytes < want || isShortOfInodes };
  };
  let found = await look();
  if (found.isShort) {
    await pruneReleases(disk, layout, stagingFolder(layout, job.payloadSha256));
    found = await look();
  }
  if (!found.isShort) return;
  const [got, needed, what] = found.isShortOfInodes
    ? [found.inodes ?? 0, LIMITS.diskSpareInodes, 'inodes']
    : [found.bytes, want, 'bytes'];
  throw new DroverError(
    'DISK_SPACE_SHORT',
    `make room for ${job.version}: not enough disk (got ${got} ${what} free, want ${needed})`,
    { facts: { got, want: needed } },
  );
}
