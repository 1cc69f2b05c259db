/**
 * `state/clean`: the agent ended in order. Without this mark a boot hashes what it starts: the
 * power was cut, and only hashes find what a lying disk lost. The mark is removed, durably, before
 * the agent works again.
 */

import type { Layout } from './layout.ts';
import type { Disk } from './disk-port.ts';
import { writeWhole } from './small-file.ts';

const markOf = (layout: Layout): string => `${layout.state}/clean`;

/** True when the mark was there; it is removed. */
export async function takeCleanMark(disk: Disk, layout: Layout): Promise<boolean> {
  if ((await disk.kind(markOf(layout))) !== 'file') return false;
  await disk.unlink(markOf(layout));
  await disk.syncFolder(layout.state);
  return true;
}

/** @throws DroverError DISK_FULL, DISK_WRITE_FAILED */
export async function setCleanMark(disk: Disk, layout: Layout): Promise<void> {
  await writeWhole(disk, markOf(layout), new TextEncoder().encode('the agent ended in order\n'));
}
