/**
 * An announcement file that waits for signatures of several people. The file also names the
 * announcement that it replaces, so that one that was planned before another was published cannot
 * silently drop that one's rollouts. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { bytesEqual, bytesToBase64, utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import {
  assertFleet,
  openAnnouncement,
  peekAnnouncement,
  type Announcement,
} from '../../shared/formats/announcement.ts';
import { proofOf } from '../../shared/formats/envelope.ts';
import { verifyRollout } from '../../shared/formats/bundle-signature.ts';
import { base64Schema, parseDocument, sha256Schema } from '../../shared/formats/schema.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';

export interface PendingAnnouncement {
  /** SHA-256 of the envelope that it replaces; null when nothing was announced. */
  readonly replaces: Sha256Hex | null;
  readonly envelope: Uint8Array;
}

/** Signers, root and destination of an announcement. */
export interface AnnounceWith {
  readonly signers: readonly Signer[];
  readonly trust: TrustRoot;
  /** The file for an announcement that others sign as well; without it, it is published. */
  readonly announcementOut?: string | undefined;
}

/** An announcement that a person is asked to sign, with its number of signatures. */
export interface ReadAnnouncement {
  readonly announcement: Announcement;
  readonly signatures: { readonly got: number; readonly want: number };
}

const ENVELOPE_BYTES_MAX = LIMITS.announcementBytesMax * 2;

const pendingSchema = z.strictObject({
  kind: z.literal('drover-announcement'),
  format: z.literal(1),
  replaces: sha256Schema.nullable(),
  envelope: base64Schema(ENVELOPE_BYTES_MAX),
});

const KIND = {
  what: 'announcement file',
  schema: pendingSchema,
  bytesMax: ENVELOPE_BYTES_MAX * 2,
  code: 'ANNOUNCEMENT_INVALID',
} as const;

export function encodePending({ replaces, envelope }: PendingAnnouncement): Uint8Array {
  const fields = { kind: 'drover-announcement', format: 1, replaces };
  return utf8(`${JSON.stringify({ ...fields, envelope: bytesToBase64(envelope) }, null, 1)}\n`);
}

/**
 * Called before the file is read: a bundle of gigabytes may be named by mistake.
 * @throws DroverError DOCUMENT_TOO_LARGE
 */
export function assertPendingSize(bytes: number): void {
  if (bytes <= KIND.bytesMax) return;
  throw new DroverError(
    'DOCUMENT_TOO_LARGE',
    `too large (got ${bytes} bytes, want at most ${KIND.bytesMax})`,
  );
}

/** @throws DroverError ANNOUNCEMENT_INVALID, DOCUMENT_TOO_LARGE, JSON_INVALID */
export function parsePending(bytes: Uint8Array): PendingAnnouncement {
  const { replaces, envelope } = parseDocument(KIND, bytes);
  return { replaces, envelope };
}

/** @param current the announced envelope, null for none */
export const replacing = (
  current: Uint8Array | null,
  envelope: Uint8Array,
): PendingAnnouncement => ({ replaces: current && sha256Hex(current), envelope });

/**
 * The content that a person is about to sign: of this fleet, with bundles that enough release keys
 * signed.
 * @throws DroverError FLEET_WRONG, ANNOUNCEMENT_INVALID, BUNDLE_*, MANIFEST_INVALID, JSON_INVALID
 */
export function readPending(pending: PendingAnnouncement, trust: TrustRoot): Announcement {
  const announcement = peekAnnouncement(pending.envelope);
  assertFleet(announcement, trust);
  for (const rollout of announcement.rollouts) verifyRollout(rollout, trust);
  return announcement;
}

/** The number of rollout keys that have signed, and the number required. */
export function signaturesOf(
  { envelope }: PendingAnnouncement,
  trust: TrustRoot,
): { got: number; want: number } {
  const { rollout } = trust.roles;
  return { got: proofOf(envelope, rollout).signers.length, want: rollout.threshold };
}

/**
 * Checks that the announcement may replace the current one.
 * @returns false when it is published already
 * @throws DroverError SEQ_CONFLICT, ENVELOPE_*, FLEET_WRONG
 */
export function mayReplace(
  pending: PendingAnnouncement,
  current: Uint8Array | null,
  trust: TrustRoot,
): boolean {
  openAnnouncement(pending.envelope, trust);
  if (current !== null && bytesEqual(current, pending.envelope)) return false;
  if (pending.replaces === (current && sha256Hex(current))) return true;
  const message = 'announce file: another announcement was published after it was made';
  throw new DroverError('SEQ_CONFLICT', message, {
    hint: 'make the file again on what is announced now, with the command that wrote it, and have it signed again',
  });
}
