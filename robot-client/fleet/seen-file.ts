/**
 * The highest `seq` this robot has accepted, of announcements and of each rollout's progress: what
 * makes yesterday's true announcement a replay today. Written before the document is acted on.
 */

import { z } from 'zod';
import type { Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { idSchema, parseDocument, sizeSchema } from '../../shared/formats/schema.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../update/state-file.ts';

const seenSchema = z.object({
  announcement: sizeSchema,
  progress: z.record(idSchema, sizeSchema),
  /** When each announced rollout was first heard to be complete. */
  completeSince: z.record(idSchema, sizeSchema).default({}),
});

export type Seen = z.output<typeof seenSchema>;

const KIND = {
  what: 'seen.json',
  schema: seenSchema,
  bytesMax: LIMITS.reportBytesMax,
  code: 'STATE_CORRUPT',
} as const;

export async function readSeen(
  disk: Disk,
  path: string,
): Promise<{ seen: Seen; problem: Problem | null }> {
  const parse = (bytes: Uint8Array): Seen => parseDocument(KIND, bytes);
  const { value, problem } = await readOrSetAside(disk, path, parse);
  return { seen: value ?? { announcement: 0, progress: {}, completeSince: {} }, problem };
}

export async function writeSeen(disk: Disk, path: string, seen: Seen): Promise<void> {
  await writeWhole(disk, path, new TextEncoder().encode(`${JSON.stringify(seen)}\n`));
}
