/**
 * Progress of one rollout, on `fleet/rollouts/<id>`: how far the controller has opened it. Wave 0
 * is that of the explicit canaries; a threshold of 0 admits no other robot. Sans-I/O.
 */

import { z } from 'zod';
import type { Signer } from '../crypto/ed25519.ts';
import { DroverError } from '../base/errors.ts';
import { openEnvelope, PAYLOAD_TYPES, peekEnvelope, signEnvelope } from './envelope.ts';
import { LIMITS } from '../base/limits.ts';
import {
  idSchema,
  instantSchema,
  parseDocument,
  robotIdSchema,
  rolloutIdSchema,
  seqSchema,
  sha256Schema,
} from './schema.ts';
import type { TrustRoot } from './trust.ts';

/** [P-6.11] Robots that may go out of service, and have not reported that they did. */
const placeSchema = z.object({
  robot: robotIdSchema,
  /** Names the question of the robot that this answers. */
  asked_at: instantSchema,
  /** It may not begin from then on. */
  until: instantSchema,
});

/** [P-6.1] */
const progressSchema = z.object({
  fleet: idSchema,
  rollout: rolloutIdSchema,
  seq: seqSchema,
  /** [P-6.9] Of its manifest: an id may have been that of another release. */
  release: sha256Schema.optional(),
  issued_at: instantSchema,
  expires_at: instantSchema,
  wave: z.number().int().min(0).max(LIMITS.wavesMax),
  threshold: z.number().min(0).max(1),
  status: z.enum(['rolling', 'paused', 'halted', 'rolling_back', 'complete']),
  reasons: z.array(z.string().max(500)).max(32).default([]),
  /** Robots that took this rollout go back to what they ran before, now or when they return. */
  recall: z.boolean().default(false),
  /** With `complete`: it is over, and no robot runs it. */
  no_effect: z.boolean().default(false),
  /** With `rolling`: every robot that is on runs it, only the soak of its last wave is left. */
  settled: z.boolean().default(false),
  /** For a controller that takes over: when the wave opened, and which waves a person approved. */
  wave_opened_at: instantSchema.nullish(),
  approved: z.array(z.number().int().min(0).max(LIMITS.wavesMax)).max(LIMITS.wavesMax).default([]),
  /** Users that have approved the open wave; with `approvers` above 1 only. */
  approved_by: z.array(z.string().max(LIMITS.idLengthMax)).max(LIMITS.approversMax).default([]),
  places: z.array(placeSchema).max(LIMITS.placesMax).default([]),
});

export type Progress = z.output<typeof progressSchema>;
export type ProgressFields = z.input<typeof progressSchema>;

const KIND = {
  what: 'progress',
  schema: progressSchema,
  bytesMax: LIMITS.reportBytesMax,
  code: 'ANNOUNCEMENT_INVALID',
} as const;

export async function signProgress(
  fields: ProgressFields,
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const payload = new TextEncoder().encode(JSON.stringify(fields));
  parseDocument(KIND, payload);
  return await signEnvelope(PAYLOAD_TYPES.progress, payload, signers);
}

/** @throws DroverError ENVELOPE_*, ANNOUNCEMENT_INVALID, FLEET_WRONG */
export function openProgress(bytes: Uint8Array, trust: TrustRoot): Progress {
  const payload = openEnvelope(bytes, PAYLOAD_TYPES.progress, trust.roles.rollout);
  const progress = parseDocument(KIND, payload);
  if (progress.fleet === trust.fleet) return progress;
  throw new DroverError(
    'FLEET_WRONG',
    `accept progress of ${progress.rollout}: other fleet (got ${progress.fleet}, want ${trust.fleet})`,
  );
}

/** The content with signatures NOT checked: for showing, never for acting. */
export function peekProgress(bytes: Uint8Array): Progress {
  return parseDocument(KIND, peekEnvelope(bytes));
}
