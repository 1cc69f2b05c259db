/**
 * Reserves disk room for an update. The rest of it must fit, and its room is reserved before the
 * first byte is fetched, so that a log that grows meanwhile cannot end it half way. Downloaded and
 * reserved bytes count as present: a robot that resumes is not asked for them twice. Leftovers of
 * older updates are removed first: only the active release, the way back and the update in progress
 * are kept.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { patchRoomFile, roomFile, stagingFolder, type Layout } from '../install/layout.ts';
import { scratchBytesOf, transferOf } from './delta.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Job } from './state.ts';
import { versionsInSlots } from '../boot/slot-records.ts';
import { pruneReleases } from '../install/prune.ts';

/** A payload without a declared unpacked size is reckoned at this many times its packed one. */
const UNPACKED_GUESS = 4;

export interface RoomInput {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly job: Job;
  /** Versions that failed here: the first to go. */
  readonly failed?: readonly string[];
}

/** An image is unpacked into its slot, and not on this disk. */
const unpackedBytes = (job: Job): number =>
  job.strategy === SLOT_IMAGE
    ? LIMITS.slotReleaseBytes
    : (job.tarBytes ?? job.payloadBytes * UNPACKED_GUESS);

/** The files that the chosen route will write, and the file whose room each takes. */
function partsOf({ layout, job }: RoomInput): { path: string; bytes: number }[] {
  const folder = stagingFolder(layout, job.payloadSha256);
  const { path, bytes } = transferOf(job, folder);
  const parts = [
    { path, bytes },
    { path: roomFile(folder), bytes: unpackedBytes(job) },
  ];
  if (job.delta) parts.push({ path: patchRoomFile(folder), bytes: scratchBytesOf(job) });
  return parts;
}

const HINT_OF_INODES =
  'remove small files on the robot (df -i ROOT: inodes are short, not bytes); it tries again by itself';

/** [P-10.4] @throws DroverError DISK_SPACE_SHORT, DISK_WRITE_FAILED */
export async function assertRoom(input: RoomInput): Promise<void> {
  const { disk, layout, job } = input;
  const folder = stagingFolder(layout, job.payloadSha256);
  let want: number = LIMITS.diskSpareBytes;
  for (const { path, bytes } of partsOf(input)) {
    want += Math.max(0, bytes - (await disk.allocated(path)));
  }
  const look = async () => {
    const { bytes, inodes } = await disk.free(layout.root);
    // A file system that makes inodes as it needs them (btrfs) has none to count.
    const isShortOfInodes = inodes !== null && inodes < LIMITS.diskSpareInodes;
    return { bytes, inodes, isShortOfInodes, isShort: bytes < want || isShortOfInodes };
  };
  let found = await look();
  if (found.isShort) {
    const held = await versionsInSlots(disk, layout);
    await pruneReleases(disk, layout, folder, input.failed, held);
    found = await look();
  }
  if (!found.isShort) return;
  const [got, needed, what] = found.isShortOfInodes
    ? [found.inodes ?? 0, LIMITS.diskSpareInodes, 'inodes']
    : [found.bytes, want, 'bytes'];
  throw new DroverError(
    'DISK_SPACE_SHORT',
    `make room for ${job.version}: not enough disk (got ${got} ${what} free, want ${needed})`,
    {
      facts: { got, want: needed },
      ...(found.isShortOfInodes ? { hint: HINT_OF_INODES } : {}),
    },
  );
}

/**
 * Checks again, then reserves the room where the file system can. The staging folder exists.
 * @throws DroverError DISK_SPACE_SHORT, DISK_FULL, DISK_WRITE_FAILED
 */
export async function reserveRoom(input: RoomInput): Promise<void> {
  await assertRoom(input);
  for (const { path, bytes } of partsOf(input)) await input.disk.reserve([path], bytes);
}

/** Call when patching begins. */
export async function releasePatchRoom({ disk, layout, job }: RoomInput): Promise<void> {
  await disk.unlink(patchRoomFile(stagingFolder(layout, job.payloadSha256)));
}

/** Call when unpacking begins: it takes the room that was reserved for it. */
export async function releaseRoom({ disk, layout, job }: RoomInput): Promise<void> {
  await disk.unlink(roomFile(stagingFolder(layout, job.payloadSha256)));
}
