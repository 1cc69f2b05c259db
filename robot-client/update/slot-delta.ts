/**
 * A delta of a system image: the base is the slot that runs, and the result goes straight into the
 * other slot, which is spoiled meanwhile as for every image. So a robot needs no room for the image
 * on its data partition. The delta and its base are checked before the slot is touched: what was in
 * it is no way back any more as soon as the first byte is written.
 */

import type { ImageFacts, ImageTarget } from '../boot/image-target.ts';
import { SlotBase } from '../boot/slot-base.ts';
import { readSlotRecord } from '../boot/slot-records.ts';
import { imageOfPayload, type ImageSource } from '../boot/slot-writer.ts';
import type { SystemSide } from '../boot/system-side.ts';
import type { Disk } from '../install/disk-port.ts';
import { payloadFile, stagingFolder, type Layout } from '../install/layout.ts';
import type { DeltaOffer } from './job-parts.ts';
import { checkPatchFile, patchInto, type PatchRun } from './patch.ts';
import { releasePatchRoom } from './room.ts';
import type { Job } from './state.ts';

interface Place {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly system: SystemSide;
}

/** @throws DroverError DELTA_BASE_UNUSABLE, BOOT_… */
export async function openSlotBase(
  { fromVersion }: Pick<DeltaOffer, 'fromVersion'>,
  { disk, layout, system }: Place,
): Promise<SlotBase> {
  const { running: slot } = await system.open();
  const record = await readSlotRecord(disk, layout, slot);
  return await SlotBase.open({ slot, path: system.deviceOf(slot), record }, fromVersion);
}

/**
 * Phase `verifying`: the delta is the signed one, and its base is what it was made from. Days may
 * have passed since the base was read before the download.
 * @throws DroverError DELTA_INVALID, DELTA_BASE_CHANGED, DELTA_BASE_UNUSABLE, BOOT_…
 */
export async function checkSlotDelta(
  job: Job,
  delta: DeltaOffer,
  on: Place & { readonly signal: AbortSignal },
): Promise<void> {
  const { disk, layout, signal } = on;
  const folder = stagingFolder(layout, job.payloadSha256);
  await checkPatchFile({ disk, folder, delta, signal });
  const base = await openSlotBase(delta, on);
  try {
    await base.assertIs(delta.fromTarSha256, signal);
  } finally {
    await base.close();
  }
}

/** The bytes of an image, ready to be written. */
interface OpenImage {
  readonly source: ImageSource;
  close(): Promise<void>;
}

/**
 * Phase `staging`: the image out of the payload, or made by the delta of the job.
 * @throws DroverError DELTA_INVALID, DELTA_BASE_UNUSABLE, BOOT_…; nothing was written
 */
export async function openImage(
  job: Job,
  on: Place & Pick<PatchRun, 'program' | 'signal'> & { readonly image: ImageFacts },
): Promise<OpenImage> {
  const { disk, layout, program, signal, image } = on;
  const { delta } = job;
  const folder = stagingFolder(layout, job.payloadSha256);
  if (!delta) {
    const payloadPath = payloadFile(folder);
    const source = imageOfPayload({ disk, payloadPath, image, signal });
    return { source, close: () => Promise.resolve() };
  }
  await releasePatchRoom({ disk, layout, job });
  await checkPatchFile({ disk, folder, delta, signal }); // a power cut may have come since
  const base = await openSlotBase(delta, on);
  const run = { disk, folder, delta, base, program, signal };
  return {
    source: (target) => patchInto(run, patchTarget(target)),
    close: () => base.close(),
  };
}

/** Written from start to end, as a patch makes it, and read where it was written. */
const patchTarget = (target: ImageTarget): Parameters<typeof patchInto>[1] => ({
  write: (bytes, atByte) => {
    if (atByte !== target.bytes) throw new TypeError(`slot delta: a gap at byte ${atByte}`);
    return target.take(bytes);
  },
  read: (into, atByte) => target.read(into, atByte),
});
