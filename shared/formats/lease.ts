/**
 * The lease on `fleet/controller`: which controller leads the rollouts of a fleet. The rollout role
 * signs it, since a leader needs that key anyway. It has no expiry: the clocks of two sites differ,
 * so each reader measures for how long nothing new has arrived. Sans-I/O.
 */

import { z } from 'zod';
import type { Signer } from '../crypto/ed25519.ts';
import { openEnvelope, PAYLOAD_TYPES, signEnvelope } from './envelope.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { idSchema, instantSchema, parseDocument, seqSchema } from './schema.ts';
import type { TrustRoot } from './trust.ts';

/** [P-6.7] */
const leaseSchema = z.object({
  fleet: idSchema,
  controller: idSchema,
  /** Rises by one with each change of leader; the `seq` of progress begins with it. */
  term: z.number().int().min(1).max(LIMITS.leaseTermMax),
  /** Rises with each renewal: an equal one is the retained message again. */
  beat: seqSchema,
  issued_at: instantSchema,
  /** Abilities of this controller; absent from one of 0.1. */
  caps: z.array(z.string().max(32)).max(16).optional(),
});

/** It counts different users for a wave; see rules/approvers.ts. */
export const APPROVERS_CAPABILITY = 'approvers';
/** Its HTTP API knows users. */
export const USERS_CAPABILITY = 'users';

/** Its broker knows approval keys: a user who has one there approves only with a signature. */
export const APPROVAL_KEYS_CAPABILITY = 'approval-keys';

export type Lease = z.output<typeof leaseSchema>;
export type LeaseFields = z.input<typeof leaseSchema>;

const KIND = {
  what: 'lease',
  schema: leaseSchema,
  bytesMax: LIMITS.reportBytesMax,
  code: 'LEASE_INVALID',
} as const;

export async function signLease(
  fields: LeaseFields,
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const payload = new TextEncoder().encode(JSON.stringify(fields));
  parseDocument(KIND, payload);
  return await signEnvelope(PAYLOAD_TYPES.lease, payload, signers);
}

/** @throws DroverError ENVELOPE_*, LEASE_INVALID, FLEET_WRONG */
export function openLease(bytes: Uint8Array, trust: TrustRoot): Lease {
  const lease = parseDocument(KIND, openEnvelope(bytes, PAYLOAD_TYPES.lease, trust.roles.rollout));
  if (lease.fleet === trust.fleet) return lease;
  throw new DroverError(
    'FLEET_WRONG',
    `accept lease of ${lease.controller}: other fleet (got ${lease.fleet}, want ${trust.fleet})`,
  );
}
