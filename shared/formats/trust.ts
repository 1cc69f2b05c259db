/**
 * trust.json: the keys of each role. It is part of the robot's image; a later root is accepted only
 * with the signatures of the root before it (trust-chain.ts). Sans-I/O.
 */

import { z } from 'zod';
import { instantText } from '../base/durations.ts';
import { DroverError } from '../base/errors.ts';
import { PUBLIC_KEY_PATTERN, type PublicKeyHex } from '../crypto/ed25519.ts';
import type { EpochMs } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { idSchema, instantSchema, parseDocument, seqSchema } from './schema.ts';

const roleSchema = z
  .object({
    keys: z
      .array(z.string().regex(PUBLIC_KEY_PATTERN, 'want 64 lower-case hex digits'))
      .min(1)
      .max(LIMITS.keysPerRoleMax),
    threshold: z.number().int().min(1).max(LIMITS.keysPerRoleMax),
  })
  .refine((role) => new Set(role.keys).size === role.keys.length, 'a key stands there twice')
  .refine(
    (role) => role.threshold <= role.keys.length,
    'the threshold is above the number of keys',
  );

/** [P-4.2] */
const trustSchema = z.object({
  version: seqSchema,
  fleet: idSchema.default('default'),
  expires: instantSchema,
  /** When it was made: a clock that shows less is behind. Absent from roots of older versions. */
  issued_at: instantSchema.optional(),
  roles: z.object({ root: roleSchema, release: roleSchema, rollout: roleSchema }),
});

export type RoleName = 'root' | 'release' | 'rollout';
export interface KeyRole {
  readonly keys: readonly PublicKeyHex[];
  readonly threshold: number;
}
export interface TrustRoot {
  readonly version: number;
  readonly fleet: string;
  readonly expires: EpochMs;
  readonly issued_at?: EpochMs | undefined;
  readonly roles: Readonly<Record<RoleName, KeyRole>>;
}

const KIND = {
  what: 'trust.json',
  schema: trustSchema,
  bytesMax: LIMITS.trustBytesMax,
  code: 'TRUST_INVALID',
} as const;

/** Keys of all roles, each once. */
export function keysOf({ roles }: Pick<TrustRoot, 'roles'>): PublicKeyHex[] {
  return [...new Set([...roles.root.keys, ...roles.release.keys, ...roles.rollout.keys])];
}

/** @throws DroverError DOCUMENT_TOO_LARGE, JSON_INVALID, TRUST_INVALID */
export function parseTrust(bytes: Uint8Array): TrustRoot {
  return parseDocument(KIND, bytes);
}

/** @throws DroverError TRUST_EXPIRED */
export function assertTrustCurrent(trust: TrustRoot, now: EpochMs): void {
  if (now < trust.expires) return;
  throw new DroverError(
    'TRUST_EXPIRED',
    `check trust.json version ${trust.version}: expired (got ${instantText(now)}, want before ${instantText(trust.expires)})`,
  );
}

/** The roles that hold a key: distinguishes "wrong role" from "never seen" in a refusal. */
export function rolesOfKey(trust: TrustRoot, key: PublicKeyHex): RoleName[] {
  return (['root', 'release', 'rollout'] as const).filter((name) =>
    trust.roles[name].keys.includes(key),
  );
}
