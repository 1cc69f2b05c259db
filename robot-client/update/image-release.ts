/**
 * The release of a system image: a folder with one small file, so that links, seals and reports are
 * the same for all strategies. The image itself is in a slot, and the record of the slot names the
 * version. So a release that is gone is made again from the record: otherwise a slot would run
 * whose version no link can name.
 */

import { randomUUID } from 'node:crypto';
import { nullIfFailed } from '../../shared/base/errors.ts';
import type { SystemSlot } from '../boot/boot-slots.ts';
import { readSlotRecord } from '../boot/slot-records.ts';
import type { Disk } from '../install/disk-port.ts';
import { releaseFolder, stagingFolder, treeFolder, type Layout } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import { writeSeal } from '../install/seal-file.ts';
import { writeWhole } from '../install/small-file.ts';
import { keepStrategy } from '../install/strategy-file.ts';
import { SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { admitRelease, assertAdmissible } from './swap.ts';

interface Place {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly signal?: AbortSignal | undefined;
}

/** Version, folder in which the release is made, and facts for a person who looks into it. */
type ImageRelease = { version: string; tree: string } & Record<string, string>;

export async function makeImageTree(
  disk: Disk,
  { version, tree, ...facts }: ImageRelease,
): Promise<void> {
  await disk.removeTree(tree);
  await disk.mkdir(tree);
  const text = JSON.stringify({ version, ...facts });
  await writeWhole(disk, `${tree}/slot-image.json`, new TextEncoder().encode(text));
}

/**
 * @param release whose tree was made
 * @throws DroverError RELEASE_IN_THE_WAY, SWAP_FAILED, SLOT_…, DISK_…
 */
export async function admitImage(
  { disk, layout, signal }: Place,
  { version, tree }: { readonly version: string; readonly tree: string },
): Promise<void> {
  await writeSeal(disk, layout, { version, tree, signal });
  await keepStrategy(disk, layout, { version, strategy: SLOT_IMAGE });
  await admitRelease(disk, layout, { tree, version, recipe: null });
}

/**
 * Makes the release of a version again that a system slot holds. Nothing happens when the release
 * is there, or when no record of a slot names the version.
 * @throws DroverError as `admitImage`
 */
export async function ensureImageRelease(version: string, on: Place): Promise<void> {
  const { disk, layout } = on;
  if ((await disk.kind(releaseFolder(layout, version))) !== 'absent') return;
  for (const slot of await disk.list(layout.systemSlots)) {
    const record = await readSlotRecord(disk, layout, slot as SystemSlot);
    if (record?.version !== version) continue;
    await assertAdmissible(disk, layout, version);
    // Another start may do the same now. A folder that a cut leaves goes with the next clean-up.
    const folder = stagingFolder(layout, randomUUID().replaceAll('-', ''));
    for (const path of [layout.staging, folder]) await disk.mkdir(path);
    const tree = treeFolder(folder);
    await makeImageTree(disk, { version, tree, image_sha256: record.sha256 });
    return await admitImage(on, { version, tree });
  }
}

/**
 * Makes the releases of system images again to which `active` or `rollback` leads, before the links
 * are read for a state. A disk that refuses is no reason not to start: the links are then reported.
 */
export async function mendImageReleases(disk: Disk, layout: Layout): Promise<void> {
  const { active, rollback } = await readSlots(disk, layout);
  for (const slot of [active, rollback]) {
    if (slot.kind !== 'lost' || slot.version === null) continue;
    await nullIfFailed(ensureImageRelease(slot.version, { disk, layout }));
  }
}
