/**
 * Stores for each system slot the image that this agent wrote into it, in `system-slots/<SLOT>` of
 * the root, on the data partition that both slots mount. The record is removed before the first
 * byte of a new image is written, and made after the image was read back. A slot without a record
 * holds an unknown version: it came from a factory or from another program.
 */

import { z } from 'zod';
import { nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { rolloutSetSchema } from '../../shared/formats/announcement.ts';
import { sha256Schema, sizeSchema, versionSchema } from '../../shared/formats/schema.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { readFitting, writeWhole } from '../install/small-file.ts';
import type { SystemSlot } from './boot-slots.ts';

const recordSchema = z.object({
  version: versionSchema,
  /** Of the image, unpacked. */
  sha256: sha256Schema,
  size: sizeSchema,
  /** The set that it was written for, in which a trial whose state was lost goes on. */
  set: rolloutSetSchema.optional(),
});

export type SlotRecord = z.output<typeof recordSchema>;

const recordPath = (layout: Layout, slot: SystemSlot): string => `${layout.systemSlots}/${slot}`;

/** @returns null for a slot whose contents are unknown, also when its record is damaged */
export async function readSlotRecord(
  disk: Disk,
  layout: Layout,
  slot: SystemSlot,
): Promise<SlotRecord | null> {
  const path = recordPath(layout, slot);
  const bytes = await readFitting(disk, path, LIMITS.slotRecordBytesMax);
  if (bytes === null) return null;
  return nullIfRefused(() => {
    const json = parseStrictJson(bytes, 'slot record', LIMITS.slotRecordBytesMax);
    return recordSchema.safeParse(json).data ?? null;
  });
}

/** Versions that the slots hold, as far as their records say. */
export async function versionsInSlots(disk: Disk, layout: Layout): Promise<readonly string[]> {
  const versions: string[] = [];
  for (const slot of await disk.list(layout.systemSlots)) {
    const record = await readSlotRecord(disk, layout, slot as SystemSlot);
    if (record) versions.push(record.version);
  }
  return versions;
}

/** Durable when it resolves. */
export async function writeSlotRecord(
  disk: Disk,
  layout: Layout,
  { slot, ...record }: SlotRecord & { readonly slot: SystemSlot },
): Promise<void> {
  await disk.mkdir(layout.systemSlots);
  await disk.syncFolder(layout.root);
  await writeWhole(
    disk,
    recordPath(layout, slot),
    new TextEncoder().encode(JSON.stringify(record)),
  );
}

/** Durable when it resolves. */
export async function removeSlotRecord(
  disk: Disk,
  layout: Layout,
  slot: SystemSlot,
): Promise<void> {
  const path = recordPath(layout, slot);
  if ((await disk.kind(path)) === 'absent') return;
  await disk.unlink(path);
  await disk.syncFolder(layout.systemSlots);
}
