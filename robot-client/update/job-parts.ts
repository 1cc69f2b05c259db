/** Parts of a job that are documents of their own in `<root>/state/machine.json`. Sans-I/O. */

import { z } from 'zod';
import { LIMITS } from '../../shared/base/limits.ts';
import { idSchema, sha256Schema, sizeSchema, versionSchema } from '../../shared/formats/schema.ts';

/** A way to the payload from a release that is installed; every hash of it was signed. */
export const deltaOfferSchema = z.object({
  /** Jobs of 0.1 have none. */
  coding: z.enum(['zstd', 'add']).default('zstd'),
  fromVersion: versionSchema,
  fromTarSha256: sha256Schema,
  tarSha256: sha256Schema,
  tarBytes: sizeSchema,
  sha256: sha256Schema,
  bytes: sizeSchema,
  chunkBytes: sizeSchema,
  chunkIndex: sha256Schema,
});

/** A boot into the other system slot, or back out of it. */
export const slotTrialSchema = z.object({
  /** Slot that ran before the update. */
  from: idSchema,
  /** Slot with the image of the update. */
  to: idSchema,
  /** Boot in which the boot loader got the order what to boot next; null before that. */
  toldIn: z.string().max(LIMITS.bootIdCharsMax).nullable(),
});

/** The system slot that the links of a component follow, in a set with a system image. */
export const followsSchema = z.object({
  /** Component of the image. */
  component: idSchema,
  /** Of the image. */
  version: versionSchema,
  /** Slot that ran before the set. */
  from: idSchema,
  /** Version in it as its record said; null for none. */
  fromVersion: versionSchema.nullable(),
  /** Slot with the image. */
  to: idSchema,
});

/** Id of one decision about a set over several computers; made by chance by the leader. */
export const commitIdSchema = z.string().regex(/^[0-9a-f]{32}$/, 'want 32 hex digits');

/** The last boot of the machine in which a version on probation ran. */
export const seenBootSchema = z.object({
  /** Name that the kernel gives to each boot. */
  id: z.string().max(LIMITS.bootIdCharsMax),
  /** Since when, in ms of the kernel's monotonic clock, which starts at zero with each boot. */
  sinceMs: sizeSchema,
  /** Starts of the agent in this probation that were no boots. */
  starts: sizeSchema,
});

export type DeltaOffer = z.output<typeof deltaOfferSchema>;
export type Follows = z.output<typeof followsSchema>;
export type SlotTrial = z.output<typeof slotTrialSchema>;
