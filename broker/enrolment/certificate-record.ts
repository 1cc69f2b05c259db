/**
 * The certificates of one enrolled robot: which are good, when the next one may be issued, and
 * what a restored record still knows. A renewal brings a new key: the old certificate stays good
 * until the new one is seen, because an answer may be lost, and not a moment longer. Sans-I/O.
 */

import { z } from 'zod';
import { instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { sha256Schema, sizeSchema } from '../../shared/formats/schema.ts';

const issuedSchema = z.object({
  /** SHA-256 of the SubjectPublicKeyInfo. */
  key_sha256: sha256Schema,
  /** Hex of 16 bytes, the first of which is no zero. */
  serial: z.string().regex(/^[4-7][0-9a-f]{31}$/),
  not_before: sizeSchema,
  not_after: sizeSchema,
  /** SHA-256 of the public key of the authority that signed it; not known of an adopted one. */
  authority: sha256Schema.optional(),
});

/** The credential of a robot that has a certificate. */
export const certifiedSchema = z.object({
  /** The key that the claim was used with. */
  key_sha256: sha256Schema,
  since: sizeSchema,
  /** Null until the robot has asked for it. */
  current: issuedSchema.nullable(),
  /** Issued by a renewal, and not seen in use yet. */
  next: issuedSchema.nullable(),
  /** True after a restore: the robot may have renewed since the backup. */
  restored: z.boolean(),
});

export type Issued = z.output<typeof issuedSchema>;
export type Certified = z.output<typeof certifiedSchema>;

export const firstCertified = (keySha256: Sha256Hex, now: EpochMs): Certified => ({
  ...{ key_sha256: keySha256, since: now },
  ...{ current: null, next: null, restored: false },
});

/** Values of the next certificate, should one be issued. */
export interface Draft {
  readonly serial: string;
  readonly now: EpochMs;
  readonly lifeMs: number;
  /** It is never good for longer than the authority is. */
  readonly authorityEnds: EpochMs;
  /** SHA-256 of its public key. */
  readonly authority: Sha256Hex;
}

export interface IssueDecision {
  readonly after: Certified;
  readonly issued: Issued;
}

/** True for one whose time has come, or which begins in the future: a clock was wrong. */
export const isRenewable = (
  { not_before: from, not_after: until }: Issued,
  now: EpochMs,
): boolean => now < from || now >= from + (until - from) / 2;

/** True for one that a robot which is well has renewed by now. */
export const isLate = ({ not_before: from, not_after: until }: Issued, now: EpochMs): boolean =>
  now >= from + ((until - from) * 5) / 6;

/** Certificates count in whole seconds. */
const inSeconds = (ms: EpochMs): EpochMs => Math.floor(ms / 1000) * 1000;

function draw(keySha256: Sha256Hex, draft: Draft): Issued {
  const { serial, now, lifeMs, authorityEnds, authority } = draft;
  const backdateMs = Math.min(LIMITS.certificateBackdateMs, lifeMs / 10);
  return {
    ...{ key_sha256: keySha256, serial, authority },
    not_before: inSeconds(now - backdateMs),
    not_after: inSeconds(Math.min(now + lifeMs, authorityEnds)),
  };
}

/**
 * A robot asks with its claim, perhaps again: it gets the same certificate while that is fresh.
 * Null when the robot has renewed since, so that the claim is of no use any more.
 */
export function issueForClaim(
  before: Certified,
  keySha256: Sha256Hex,
  draft: Draft,
): IssueDecision | null {
  const { current } = before;
  if (current && current.key_sha256 !== keySha256) return null;
  if (current && !isRenewable(current, draft.now)) return { after: before, issued: current };
  const issued = draw(keySha256, draft);
  return { after: { ...before, current: issued }, issued };
}

/** A certificate of this authority, as a client presents it. */
export interface Shown {
  readonly keySha256: Sha256Hex;
  readonly serial: string;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
}

const isSame = (one: Issued | null, { keySha256, serial }: Shown): boolean =>
  one !== null && one.key_sha256 === keySha256 && one.serial === serial;

/** Those that are good: the one in use, and the next one. */
export const goodOf = ({ current, next }: Certified): Issued[] =>
  [current, next].filter((one) => one !== null);

/** When the newest one begins that the record knows. */
export const newestOf = (certified: Certified): EpochMs =>
  Math.max(0, ...goodOf(certified).map((one) => one.not_before));

/**
 * The record after this certificate was seen in use: a renewed one takes the place of the one
 * before. The same record when nothing changes. After a restore the record may be older than the
 * last renewal: what this authority has signed later than anything in it was issued since, and is
 * good.
 * @returns null when the certificate is not good
 */
export function seen(before: Certified, shown: Shown): Certified | null {
  const { current, next, restored } = before;
  if (next && isSame(next, shown)) return { ...before, current: next, next: null, restored: false };
  if (isSame(current, shown)) return before;
  if (!restored || shown.notBefore <= newestOf(before)) return null;
  return { ...before, current: asIssued(shown), next: null, restored: false };
}

const asIssued = ({ keySha256, serial, notBefore, notAfter }: Shown): Issued => ({
  ...{ key_sha256: keySha256, serial, not_before: notBefore, not_after: notAfter },
});

export const afterRestoreOf = (before: Certified): Certified => ({ ...before, restored: true });

/**
 * Decides on a renewal that the key of a good certificate has signed. `before` is the record after
 * `seen`. The same request gets the same certificate again; one with another key takes the place of
 * a next one that was never used.
 * @throws DroverError CERTIFICATE_NOT_DUE
 */
export function renewal(
  before: Certified,
  { robot, key }: { readonly robot: string; readonly key: Sha256Hex },
  draft: Draft,
): IssueDecision {
  const { current, next } = before;
  if (next?.key_sha256 === key && !isRenewable(next, draft.now))
    return { after: before, issued: next };
  if (current && !isRenewable(current, draft.now)) {
    const fresh = current.not_before + (current.not_after - current.not_before) / 2;
    const why = `good until ${instantText(current.not_after)}, renewed from ${instantText(fresh)} on`;
    throw new DroverError('CERTIFICATE_NOT_DUE', `renew ${robot}: ${why}`);
  }
  const issued = draw(key, draft);
  return { after: { ...before, next: issued }, issued };
}

/**
 * The expired certificate of a key that is known may still be renewed for a while.
 * @throws DroverError CERTIFICATE_TOO_OLD
 */
export function assertInGrace(robot: string, notAfter: EpochMs, now: EpochMs): void {
  if (now <= notAfter + LIMITS.certificateGraceMs) return;
  const days = LIMITS.certificateGraceMs / 86_400_000;
  const why = `it ended at ${instantText(notAfter)}, more than ${days} days ago`;
  throw new DroverError('CERTIFICATE_TOO_OLD', `renew ${robot}: ${why}`);
}
