/**
 * `state/slot-asked`: in this boot `recover` asked the boot loader which slot runs. The agent takes a
 * set with a system image only after that: at the boot that switches the image, nothing else leads
 * the other components to the releases that belong to it.
 */

import { z } from 'zod';
import { nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { idSchema } from '../../shared/formats/schema.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { readFitting, writeWhole } from '../install/small-file.ts';

const wordSchema = z.object({
  /** Name of the boot, as the kernel gives it. */
  boot_id: z.string().max(LIMITS.bootIdCharsMax),
  /** Slot that runs. */
  slot: idSchema,
});

export interface SlotWord {
  readonly bootId: string;
  readonly slot: string;
}

const wordPath = ({ state }: Layout): string => `${state}/slot-asked`;

/** @returns null when there is none, or it is damaged @throws DroverError of the disk */
export async function readSlotWord(disk: Disk, layout: Layout): Promise<SlotWord | null> {
  const bytes = await readFitting(disk, wordPath(layout), LIMITS.slotWordBytesMax);
  if (bytes === null) return null;
  return nullIfRefused(() => {
    const json = parseStrictJson(bytes, 'slot word', LIMITS.slotWordBytesMax);
    const found = wordSchema.safeParse(json).data;
    return found ? { bootId: found.boot_id, slot: found.slot } : null;
  });
}

/** Durable when it resolves. @throws DroverError of the disk */
export async function writeSlotWord(disk: Disk, layout: Layout, word: SlotWord): Promise<void> {
  const text = JSON.stringify({ boot_id: word.bootId, slot: word.slot });
  await writeWhole(disk, wordPath(layout), new TextEncoder().encode(text));
}
