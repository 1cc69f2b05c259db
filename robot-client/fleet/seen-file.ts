/**
 * The floors of `seq` of this robot, for announcements and for each rollout's progress: they make
 * an old announcement a replay. They are written before the document is acted on. Each floor is
 * bound to the keys that set it (shared/rules/freshness.ts); the plain numbers beside them are for
 * agents of 0.1, which know no keys.
 */

import { z } from 'zod';
import type { Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { PUBLIC_KEY_PATTERN, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { idSchema, parseDocument, sha256Schema, sizeSchema } from '../../shared/formats/schema.ts';
import {
  floorOfUnknown,
  mergedFloor,
  NO_FLOOR,
  seqOf,
  type Floor,
  type Life,
} from '../../shared/rules/freshness.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';

const marksSchema = z.record(
  z.string().regex(PUBLIC_KEY_PATTERN),
  z.object({ seq: sizeSchema, sha256: sha256Schema.nullable() }),
);
const floorSchema = z.object({ said: marksSchema, ahead: marksSchema.default({}) });

const seenSchema = z.object({
  announcement: sizeSchema,
  progress: z.record(idSchema, sizeSchema),
  /** Absent from files of 0.1: any key of the role may have set the numbers above. */
  floors: z
    .object({ announcement: floorSchema, progress: z.record(idSchema, floorSchema) })
    .optional(),
  /** Of the last accepted announcement that was not ahead: it shows that the clock is right. */
  life: z.object({ fromMs: sizeSchema, untilMs: sizeSchema }).optional(),
  /** When each announced rollout was first known to be complete. */
  completeSince: z.record(idSchema, sizeSchema).default({}),
  /** The fleet of these floors: a disk of another fleet may be mounted as a second root. */
  fleet: idSchema.optional(),
  /** The newest trust root from a carrier: an older one of this fleet is a restored copy. */
  trust: z.object({ fleet: idSchema, version: sizeSchema }).optional(),
});

export interface Seen {
  readonly announcement: Floor;
  readonly progress: Readonly<Record<string, Floor>>;
  readonly life?: Life | undefined;
  readonly completeSince: Readonly<Record<string, number>>;
  readonly fleet?: string | undefined;
  readonly trust?: { readonly fleet: string; readonly version: number } | undefined;
}

export const NOTHING_SEEN: Seen = { announcement: NO_FLOOR, progress: {}, completeSince: {} };

const KIND = {
  what: 'seen.json',
  schema: seenSchema,
  bytesMax: LIMITS.seenBytesMax,
  code: 'STATE_CORRUPT',
} as const;

type Keys = readonly PublicKeyHex[];

/** @param keys of the current rollout role: a file of 0.1 does not say which of them signed */
export function parseSeen(bytes: Uint8Array, keys: Keys): Seen {
  const { announcement, progress, floors, ...others } = parseDocument(KIND, bytes);
  if (floors) return { ...others, ...floors };
  const old = Object.entries(progress).map(([id, seq]) => [id, floorOfUnknown(seq, keys)]);
  return {
    ...others,
    announcement: floorOfUnknown(announcement, keys),
    progress: Object.fromEntries(old) as Record<string, Floor>,
  };
}

/** @param keys those whose floors an agent of 0.1 should keep */
export function encodeSeen(seen: Seen, keys: Keys): string {
  const { announcement, progress, ...others } = seen;
  const plain = Object.entries(progress).map(([id, floor]) => [id, seqOf(floor, keys)]);
  const file: z.input<typeof seenSchema> = {
    announcement: seqOf(announcement, keys),
    progress: Object.fromEntries(plain) as Record<string, number>,
    ...others,
    completeSince: { ...others.completeSince },
    floors: { announcement, progress: { ...progress } },
  };
  return JSON.stringify(file);
}

export async function readSeen(
  disk: Disk,
  path: string,
  keys: Keys,
): Promise<{ seen: Seen; problem: Problem | null }> {
  const { value, problem } = await readOrSetAside(disk, path, (bytes) => parseSeen(bytes, keys));
  return { seen: value ?? NOTHING_SEEN, problem };
}

export async function writeSeen(disk: Disk, path: string, text: string): Promise<void> {
  await writeWhole(disk, path, new TextEncoder().encode(`${text}\n`));
}

/**
 * The higher floor of each document, and the earliest instant at which a rollout was complete.
 * @param b of another root: it counts only when it names the same fleet
 */
export function mergeSeen(a: Seen, b: Seen, fleet: string): Seen {
  if (b.fleet !== fleet) return a;
  const progress = { ...b.progress };
  for (const [id, floor] of Object.entries(a.progress)) {
    progress[id] = mergedFloor(floor, progress[id] ?? NO_FLOOR);
  }
  const completeSince = { ...b.completeSince };
  for (const [id, at] of Object.entries(a.completeSince)) {
    completeSince[id] = Math.min(at, completeSince[id] ?? at);
  }
  const floorOf = ({ trust }: Seen): number => (trust?.fleet === fleet ? trust.version : 0);
  const trust = floorOf(b) > floorOf(a) ? b.trust : (a.trust ?? b.trust);
  const life = (a.life?.fromMs ?? 0) >= (b.life?.fromMs ?? 0) ? (a.life ?? b.life) : b.life;
  const announcement = mergedFloor(a.announcement, b.announcement);
  const others = { ...(life && { life }), ...(trust && { trust }) };
  return { announcement, progress, completeSince, fleet, ...others };
}
