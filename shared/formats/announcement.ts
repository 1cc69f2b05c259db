/**
 * The announcement: the one signed list of active rollouts, on `fleet/updates`. A rollout key signs
 * who gets which bundle and when; a release key has signed each bundle in it. Sans-I/O.
 */

import { z } from 'zod';
import { instantText } from '../base/durations.ts';
import { type Signer, SIGNATURE_BYTES } from '../crypto/ed25519.ts';
import { DroverError } from '../base/errors.ts';
import { openEnvelope, PAYLOAD_TYPES, peekEnvelope, signEnvelope } from './envelope.ts';
import { gatesSchema } from './gates.ts';
import type { EpochMs } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import {
  base64Schema,
  idSchema,
  instantSchema,
  parseDocument,
  robotIdSchema,
  rolloutIdSchema,
  seqSchema,
  sha256Schema,
  sizeSchema,
  versionSchema,
} from './schema.ts';
import type { TrustRoot } from './trust.ts';

const tagSchema = z
  .string()
  .regex(/^[A-Za-z0-9_.:=-]{1,64}$/, 'want 1 to 64 of A-Z a-z 0-9 _ . : = -');
export const tagsSchema = z.array(tagSchema).max(LIMITS.tagsMax);

/** [P-5.3] */
const artifactSchema = z.object({
  kind: z.enum(['full', 'zstd-patch']),
  sha256: sha256Schema,
  size: sizeSchema.min(1).max(LIMITS.payloadBytesMax),
  chunk_size: z.number().int().min(LIMITS.chunkBytesMin).max(LIMITS.chunkBytesMax),
  chunk_index: sha256Schema,
});

/** [P-5.10] The chunks of an attachment. Robots read past it, and so do brokers of 0.1. */
const attachedSchema = artifactSchema.extend({ kind: idSchema });

const targetSchema = z.object({
  arch: z.string().max(64).optional(),
  tags: tagsSchema.default([]),
  robots: z.array(robotIdSchema).max(LIMITS.targetRobotsMax).default([]),
});

const canariesSchema = z.object({
  tags: tagsSchema.default([]),
  robots: z.array(robotIdSchema).max(LIMITS.targetRobotsMax).default([]),
  /** Absent: as long as the first wave. */
  soak_s: sizeSchema.optional(),
});

const waveSchema = z.object({
  percent: z.number().min(0).max(100),
  soak_s: sizeSchema.default(0),
});

const setMemberSchema = z.object({
  rollout: rolloutIdSchema,
  component: idSchema,
  version: versionSchema,
  payload_sha256: sha256Schema,
});

/**
 * [P-5.12] A robot takes all of these bundles or none of them. Each rollout of the set carries the
 * whole of it, in the order in which a robot switches: a component then knows the others without
 * the announcement. Robots of 0.1 read past it.
 */
export const rolloutSetSchema = z
  .object({
    id: rolloutIdSchema,
    members: z.array(setMemberSchema).min(2).max(LIMITS.setMembersMax),
    /** Component of the member that is a system image; absent when none is. */
    image: idSchema.optional(),
  })
  .refine(
    ({ image, members }) =>
      image === undefined || members.some(({ component }) => component === image),
    'an image that is no member',
  );

/** Capability of a robot that takes sets. One without it takes the bundles one by one. */
export const SETS_CAPABILITY = 'sets';

/** Of a robot that takes a set with a system image now: its `recover` asked the boot loader. */
export const SET_IMAGES_CAPABILITY = 'set_images';

/** [P-6.11] At most so many robots of one place are out of service at once. */
export const budgetSchema = z.object({
  at_most: z.number().int().min(1).max(LIMITS.placesAtOnceMax),
  /** `fleet` for all that the rollout is for, or `tag:NAME` for each value of that tag. */
  per: z
    .string()
    .regex(/^(?:fleet|tag:[A-Za-z0-9_.-]{1,32})$/, 'want fleet, or tag:NAME such as tag:hall')
    .default('fleet'),
  /** A place that is not used for so long is free again. */
  lease_s: z
    .number()
    .int()
    .min(LIMITS.placeLeaseSecondsMin)
    .max(LIMITS.placeLeaseSecondsMax)
    .default(LIMITS.placeLeaseSecondsDefault),
});

/** Capability of a robot that asks for a place before it goes out of service. */
export const BUDGET_CAPABILITY = 'budget';

/** Capability of a robot that does not start a rollout before its time. */
export const START_CAPABILITY = 'start-at';

/** Capabilities of every robot of this version, for what an announcement may ask. */
export const ORDER_CAPABILITIES = [SETS_CAPABILITY, BUDGET_CAPABILITY, START_CAPABILITY] as const;

/** [P-5.2] */
const rolloutSchema = z.object({
  id: rolloutIdSchema,
  manifest: base64Schema(LIMITS.manifestBytesMax),
  signature: base64Schema(SIGNATURE_BYTES),
  cosignatures: z.array(base64Schema(SIGNATURE_BYTES)).max(LIMITS.signaturesMax).default([]),
  artifacts: z
    .array(artifactSchema)
    .min(1)
    .max(LIMITS.deltasMax + 1),
  attachments: z.array(attachedSchema).max(LIMITS.attachmentsMax).default([]),
  /** [P-5.11] */
  log_proof: z.string().max(LIMITS.logProofBytesMax).optional(),
  target: targetSchema.prefault({}),
  salt: z.string().max(128),
  waves: z.array(waveSchema).min(1).max(LIMITS.wavesMax),
  gates: gatesSchema.prefault({}),
  /** Robots that come before the first wave: by id, or by having all of the tags. */
  canaries: canariesSchema.prefault({}),
  /** Waves (1 for the first) after which a person must approve. */
  approve_after: z
    .array(z.number().int().min(0).max(LIMITS.wavesMax))
    .max(LIMITS.wavesMax)
    .default([]),
  /** [P-6.10] Different users that have to approve each of these waves; not the publisher. */
  approvers: z.number().int().min(1).max(LIMITS.approversMax).default(1),
  /** User that published it, where `approvers` is above 1. */
  published_by: z.string().min(1).max(LIMITS.idLengthMax).optional(),
  /** Robots that come after the last wave has opened start at a moment of their own within this. */
  late_spread_s: sizeSchema
    .max(LIMITS.lateSpreadSecondsMax)
    .default(LIMITS.lateSpreadSecondsDefault),
  emergency: z.boolean().default(false),
  /** Rollouts that left the list for this one: for the audit log, robots do not ask. */
  supersedes: z.array(rolloutIdSchema).max(LIMITS.rolloutsMax).default([]),
  health_timeout_s: z
    .number()
    .int()
    .min(1)
    .max(LIMITS.healthTimeoutMsMax / 1000)
    .optional(),
  min_canaries: z.number().int().min(1).max(LIMITS.minCanariesMax).default(1),
  set: rolloutSetSchema.optional(),
  budget: budgetSchema.optional(),
  /** [P-6.12] No robot starts before that: an instant, or a time of the robot's own wall clock. */
  start_at: instantSchema.optional(),
  start_local: z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d$/, 'want a local time such as 2026-12-01T22:00')
    .optional(),
});

/** [P-5.1] */
const announcementSchema = z.object({
  fleet: idSchema,
  seq: seqSchema,
  issued_at: instantSchema,
  expires_at: instantSchema,
  /** The newest file that came over an air gap into this: older ones are refused. */
  imported: z.object({ seq: seqSchema }).optional(),
  rollouts: z
    .array(rolloutSchema)
    .max(LIMITS.rolloutsMax)
    .refine((list) => new Set(list.map((r) => r.id)).size === list.length, 'a rollout id twice'),
});

export type Announcement = z.output<typeof announcementSchema>;
/** As written: instants and bytes as text. */
export type AnnouncementFields = z.input<typeof announcementSchema>;
export type Rollout = Announcement['rollouts'][number];
export type RolloutFields = AnnouncementFields['rollouts'][number];
export type RolloutSet = z.output<typeof rolloutSetSchema>;
export type SetMember = RolloutSet['members'][number];
export type Artifact = Rollout['artifacts'][number];
/** A file that a broker keeps in chunks: an artifact or an attachment. */
export type StoredFile = Omit<Artifact, 'kind'>;

const KIND = {
  what: 'announcement',
  schema: announcementSchema,
  bytesMax: LIMITS.announcementBytesMax,
  code: 'ANNOUNCEMENT_INVALID',
} as const;

/** @throws DroverError ANNOUNCEMENT_INVALID, DOCUMENT_TOO_LARGE */
export function encodeAnnouncement(fields: AnnouncementFields): Uint8Array {
  const payload = new TextEncoder().encode(JSON.stringify(fields));
  parseDocument(KIND, payload);
  return payload;
}

/**
 * One that is not signed yet: for plans that build on it, never for acting.
 * @throws DroverError ANNOUNCEMENT_INVALID, DOCUMENT_TOO_LARGE
 */
export const parsePlanned = (fields: AnnouncementFields): Announcement =>
  parseDocument(KIND, encodeAnnouncement(fields));

/** @throws DroverError ANNOUNCEMENT_INVALID, DOCUMENT_TOO_LARGE, SIGN_COMMAND_FAILED */
export async function signAnnouncement(
  fields: AnnouncementFields,
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const payload = encodeAnnouncement(fields);
  return await signEnvelope(PAYLOAD_TYPES.announcement, payload, signers);
}

/** Verifies signatures, shape and fleet. Freshness is a separate check because it needs state. */
export function openAnnouncement(bytes: Uint8Array, trust: TrustRoot): Announcement {
  const announcement = parseDocument(KIND, openAnnouncementPayload(bytes, trust));
  assertFleet(announcement, trust);
  return announcement;
}

/** @throws DroverError FLEET_WRONG */
export function assertFleet({ seq, fleet }: Announcement, trust: Pick<TrustRoot, 'fleet'>): void {
  if (fleet === trust.fleet) return;
  const numbers = `got ${fleet}, want ${trust.fleet}`;
  throw new DroverError('FLEET_WRONG', `accept announcement ${seq}: other fleet (${numbers})`);
}

/** The verified payload bytes as they were signed, for a caller that copies rollouts unchanged. */
export function openAnnouncementPayload(bytes: Uint8Array, trust: TrustRoot): Uint8Array {
  return openEnvelope(bytes, PAYLOAD_TYPES.announcement, trust.roles.rollout);
}

/**
 * The content of an announcement whose signatures are NOT checked: for showing, never for acting.
 * @throws DroverError of the document or ENVELOPE_MALFORMED kind
 */
export function peekAnnouncement(bytes: Uint8Array): Announcement {
  return parseDocument(KIND, peekEnvelope(bytes));
}

/**
 * An equal `seq` is the same announcement again (retained, re-sent); only a lower one is a replay.
 * [P-5.5]
 * @param floor highest seq accepted before, 0 for none
 * @throws DroverError ANNOUNCEMENT_REPLAYED, ANNOUNCEMENT_EXPIRED
 */
export function assertFresh(
  document: { seq: number; expires_at: EpochMs },
  floor: number,
  now: EpochMs,
): void {
  if (document.seq < floor) {
    throw new DroverError(
      'ANNOUNCEMENT_REPLAYED',
      `accept announcement: older than one seen before (got seq ${document.seq}, want at least ${floor})`,
      { facts: { got: document.seq, want: floor } },
    );
  }
  if (now >= document.expires_at) {
    throw new DroverError(
      'ANNOUNCEMENT_EXPIRED',
      `accept announcement ${document.seq}: expired (got now ${instantText(now)}, want before ${instantText(document.expires_at)})`,
    );
  }
}
