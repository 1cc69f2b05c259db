/**
 * The record of one robot that enrols, and each change of it. A claim
 * is used once: afterwards only the robot that used it gets the same answer again, because an
 * answer may be lost. Sans-I/O.
 */

import { z } from 'zod';
import { instantText } from '../../shared/base/durations.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { daysUntil } from '../../shared/rules/trust-life.ts';
import { keyNameOf } from '../../shared/formats/http-api.ts';
import {
  afterRestoreOf,
  certifiedSchema,
  firstCertified,
  goodOf,
  isRenewable,
  isLate,
  type Certified,
  type Issued,
} from './certificate-record.ts';
import {
  parseDocument,
  robotIdSchema,
  sha256Schema,
  sizeSchema,
} from '../../shared/formats/schema.ts';

const orderSchema = z.object({
  robot_id: robotIdSchema,
  claim_sha256: sha256Schema,
  /** Epoch milliseconds by the clock of the broker. */
  expires_at: sizeSchema,
  /** True when a person has to accept the robot. */
  needs_yes: z.boolean(),
});

const recordSchema = z.object({
  robot_id: robotIdSchema,
  claim: z.object({
    ...orderSchema.omit({ robot_id: true }).shape,
    state: z.enum(['open', 'pending', 'used', 'revoked']),
    /** The robot that used the claim, or waits: by the hash of its secret, or of its public key. */
    asked: z
      .object({
        ...{ token_sha256: sha256Schema.optional(), key_sha256: sha256Schema.optional() },
        ...{ at: sizeSchema, from: z.string().max(100) },
      })
      .nullable(),
    accepted_by: z.string().max(100).nullable(),
  }),
  /** Null until a claim was used, and after a revocation. */
  credential: z
    .union([certifiedSchema, z.object({ token_sha256: sha256Schema, since: sizeSchema })])
    .nullable(),
});

/** How a robot shows later that it is the one that asked: hash of a secret, or of a public key. */
export type Proof = { readonly token_sha256: Sha256Hex } | { readonly key_sha256: Sha256Hex };

const hashOf = (one: {
  readonly token_sha256?: Sha256Hex | undefined;
  readonly key_sha256?: Sha256Hex | undefined;
}): Sha256Hex | null => one.token_sha256 ?? one.key_sha256 ?? null;

const isBy = (one: NonNullable<Claim['asked']>, proof: Proof): boolean =>
  'key_sha256' in proof
    ? one.key_sha256 === proof.key_sha256
    : one.token_sha256 === proof.token_sha256;

/** The certificates of a robot that has some. */
export const certifiedOf = ({ credential }: EnrolmentRecord): Certified | null =>
  credential && 'current' in credential ? credential : null;

/** The hash of the secret of a robot that has one. */
export const tokenOf = ({ credential }: EnrolmentRecord): Sha256Hex | null =>
  credential && 'token_sha256' in credential ? credential.token_sha256 : null;

/** A claim that is to be made. */
export type ClaimOrder = z.output<typeof orderSchema>;
export type EnrolmentRecord = z.output<typeof recordSchema>;
type Claim = EnrolmentRecord['claim'];

export const claimOrdersSchema = z.array(orderSchema).min(1).max(LIMITS.enrolmentsMax);

/** @throws DroverError DATABASE_DAMAGED, JSON_INVALID */
export const parseRecord = (text: string): EnrolmentRecord =>
  parseDocument(
    {
      what: 'enrolment',
      schema: recordSchema,
      bytesMax: LIMITS.localRequestBytesMax,
      code: 'DATABASE_DAMAGED',
    },
    new TextEncoder().encode(text),
  );

/**
 * A robot that is enrolled keeps its credential until the new claim is used.
 * @throws DroverError CLAIM_EXISTS when the robot has a claim or a credential, without `replace`
 */
export function withClaim(
  before: EnrolmentRecord | undefined,
  order: ClaimOrder,
  { replace, now }: { readonly replace: boolean; readonly now: EpochMs },
): EnrolmentRecord {
  const { robot_id: robot, ...claim } = order;
  if (before && !replace && !isForgettable(before, now)) {
    const has = before.credential ? 'is enrolled' : `has a claim (${claimStateOf(before, now)})`;
    throw new DroverError('CLAIM_EXISTS', `make claim for ${robot}: it ${has}`);
  }
  return {
    robot_id: robot,
    claim: { ...claim, state: 'open', asked: null, accepted_by: null },
    credential: before?.credential ?? null,
  };
}

/** True when nothing is lost without it: no credential, and a claim that is good no more. */
export const isForgettable = (record: EnrolmentRecord, now: EpochMs): boolean =>
  record.credential === null && ['expired', 'revoked'].includes(claimStateOf(record, now));

export interface ClaimAsk {
  readonly proof: Proof;
  readonly now: EpochMs;
  /** The address that it asks from. */
  readonly from: string;
}

/**
 * Decides what a robot with the right claim gets.
 * @returns the record as it is afterwards; the same one when nothing changes
 * @throws DroverError CLAIM_USED, CLAIM_EXPIRED, CLAIM_REVOKED
 */
export function decideClaim(record: EnrolmentRecord, ask: ClaimAsk): EnrolmentRecord {
  const { robot_id: robot, claim } = record;
  const refuse = (code: ErrorCode, why: string): never => {
    throw new DroverError(code, `enrol ${robot}: ${why}`);
  };
  switch (claim.state) {
    case 'revoked':
      return refuse('CLAIM_REVOKED', 'this claim was revoked');
    case 'pending':
    case 'used':
      if (claim.asked && isBy(claim.asked, ask.proof)) return record;
      return refuse('CLAIM_USED', 'another device, or this one with another key, used the claim');
    case 'open': {
      if (claim.expires_at <= ask.now) {
        const since = instantText(claim.expires_at);
        return refuse('CLAIM_EXPIRED', `the claim was good until ${since}`);
      }
      const asked = { ...ask.proof, at: ask.now, from: ask.from.slice(0, 100) };
      const pending: EnrolmentRecord = { ...record, claim: { ...claim, state: 'pending', asked } };
      return claim.needs_yes ? pending : granted(pending, ask.now);
    }
  }
}

/** @throws DroverError NOT_FOUND when the robot does not wait */
export function accepted(
  record: EnrolmentRecord,
  { by, now }: { readonly by: string; readonly now: EpochMs },
): EnrolmentRecord {
  assertPending(record, 'accept');
  return granted({ ...record, claim: { ...record.claim, accepted_by: by.slice(0, 100) } }, now);
}

/** The claim is void; a credential that the robot had before stays. @throws as `accepted` */
export function turnedAway(record: EnrolmentRecord): EnrolmentRecord {
  assertPending(record, 'refuse');
  return { ...record, claim: { ...record.claim, state: 'revoked' } };
}

/** Neither its claim nor its credential is good any more. */
export const revoked = (record: EnrolmentRecord): EnrolmentRecord => ({
  ...record,
  claim: { ...record.claim, state: 'revoked' },
  credential: null,
});

/**
 * After a restore of an older backup: a claim that is open there may have been used since, by a
 * robot or by a thief, so it is void. Credentials stay.
 */
export function afterRestore(record: EnrolmentRecord): EnrolmentRecord {
  const { state } = record.claim;
  const certified = certifiedOf(record);
  const after = certified ? { ...record, credential: afterRestoreOf(certified) } : record;
  if (state !== 'open' && state !== 'pending') return after;
  return { ...after, claim: { ...record.claim, state: 'revoked' } };
}

/** The robot has the secret or key of this hash, or waits with it for a person. */
export function hasKey(record: EnrolmentRecord, hash: Sha256Hex): boolean {
  const { claim, credential } = record;
  const certified = certifiedOf(record);
  const own = certified ? [certified.current, certified.next] : [credential];
  if (own.some((one) => one !== null && hashOf(one) === hash)) return true;
  return claim.state === 'pending' && claim.asked !== null && hashOf(claim.asked) === hash;
}

function granted(record: EnrolmentRecord, now: EpochMs): EnrolmentRecord {
  const { asked } = record.claim;
  if (!asked) throw new TypeError('enrolment: granted to a robot that has not asked');
  return {
    ...record,
    claim: { ...record.claim, state: 'used' },
    credential: credentialOf(asked, now),
  };
}

function credentialOf(
  { token_sha256: token, key_sha256: key }: NonNullable<Claim['asked']>,
  now: EpochMs,
): EnrolmentRecord['credential'] {
  if (key !== undefined) return firstCertified(key, now);
  if (token !== undefined) return { token_sha256: token, since: now };
  throw new TypeError('enrolment: asked with neither a secret nor a key');
}

function assertPending({ robot_id: robot, claim }: EnrolmentRecord, what: string): void {
  if (claim.state === 'pending') return;
  throw new DroverError('NOT_FOUND', `${what} ${robot}: it does not wait (${claim.state})`, {
    hint: 'drover fleet enrolments lists the robots that wait',
  });
}

const claimStateOf = ({ claim }: EnrolmentRecord, now: EpochMs): Claim['state'] | 'expired' =>
  claim.state === 'open' && claim.expires_at <= now ? 'expired' : claim.state;

/** As the HTTP API and `enrol list` show it: nothing in it is secret. */
export interface EnrolmentView {
  readonly robot_id: RobotId;
  readonly enrolled: boolean;
  readonly claim: Claim['state'] | 'expired';
  readonly expires_at: string;
  readonly needs_yes: boolean;
  readonly asked_at: string | null;
  readonly asked_from: string | null;
  /** Short form of the robot's own key, for people who compare. */
  readonly key: string | null;
  readonly accepted_by: string | null;
  /** Null for a robot with a secret, and before the first one was issued. */
  readonly certificate: CertificateView | null;
}

export interface CertificateView {
  readonly serial: string;
  readonly expires_at: string;
  /** Negative once it has ended. */
  readonly days_left: number;
  /**
   * `due`: the robot may renew it; `late`: it should have; `foreign`: an authority signed it, or
   * the next one, that the broker does not take any more.
   */
  readonly state: CertificateState;
}

/** In the order of the metric. */
export const CERTIFICATE_STATES = ['good', 'due', 'late', 'expired', 'foreign'] as const;
type CertificateState = (typeof CERTIFICATE_STATES)[number];

/** @param authorities keys of those whose certificates are taken; null where that is not known */
export function showEnrolment(
  record: EnrolmentRecord,
  now: EpochMs,
  authorities: ReadonlySet<Sha256Hex> | null = null,
): EnrolmentView {
  const { robot_id, claim, credential } = record;
  const { asked } = claim;
  const key = (asked && hashOf(asked)) ?? (credential && hashOf(credential));
  return {
    robot_id,
    enrolled: credential !== null,
    claim: claimStateOf(record, now),
    expires_at: instantText(claim.expires_at),
    needs_yes: claim.needs_yes,
    asked_at: asked ? instantText(asked.at) : null,
    asked_from: asked?.from ?? null,
    key: key === null ? null : keyNameOf(key),
    accepted_by: claim.accepted_by,
    certificate: showCertificate(certifiedOf(record), now, authorities),
  };
}

function showCertificate(
  certified: Certified | null,
  now: EpochMs,
  authorities: ReadonlySet<Sha256Hex> | null,
): CertificateView | null {
  if (!certified?.current) return null;
  const { current } = certified;
  const { serial, not_after: until } = current;
  // A robot may hold the next one by now, and shows that one alone then.
  const isForeign = goodOf(certified).some(
    ({ authority }) => authority !== undefined && authorities?.has(authority) === false,
  );
  return {
    ...{ serial, expires_at: instantText(until), days_left: daysUntil(until, now) },
    state: isForeign ? 'foreign' : stateOf(current, now),
  };
}

function stateOf(issued: Issued, now: EpochMs): CertificateState {
  if (now >= issued.not_after) return 'expired';
  if (isLate(issued, now)) return 'late';
  return isRenewable(issued, now) ? 'due' : 'good';
}
