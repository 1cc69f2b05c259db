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
  /** The fleet of these floors: a disk of another fleet may be mounted as a second root. */
  fleet: idSchema.optional(),
  /** The newest trust root that was taken from a carrier: an older one of this fleet was put back. */
  trust: z.object({ fleet: idSchema, version: sizeSchema }).optional(),
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

/**
 * The higher floor of each document, and the earliest instant at which a rollout was complete.
 * @param b of another root: it counts only when it says that it is of the same fleet
 */
export function mergeSeen(a: Seen, b: Seen, fleet: string): Seen {
  if (b.fleet !== fleet) return a;
  const progress = { ...b.progress };
  for (const [id, seq] of Object.entries(a.progress)) {
    progress[id] = Math.max(seq, progress[id] ?? 0);
  }
  const completeSince = { ...b.completeSince };
  for (const [id, at] of Object.entries(a.completeSince)) {
    completeSince[id] = Math.min(at, completeSince[id] ?? at);
  }
  const floorOf = ({ trust }: Seen): number => (trust?.fleet === fleet ? trust.version : 0);
  const trust = floorOf(b) > floorOf(a) ? b.trust : (a.trust ?? b.trust);
  const announcement = Math.max(a.announcement, b.announcement);
  return { announcement, progress, completeSince, fleet, ...(trust && { trust }) };
}
