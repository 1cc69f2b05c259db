/**
 * An announcement on its way between people: signed by some of the keys that it needs, in a file.
 * The file says as well what the announcement replaces, so that one which was planned before
 * another was published cannot take that one's rollouts away unseen. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { bytesEqual, bytesToBase64, utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Signer } from '../../shared/crypto/signer.ts';
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

/** Who signs, under which root, and where the announcement goes. */
export interface AnnounceWith {
  readonly signers: readonly Signer[];
  readonly trust: TrustRoot;
  /** The file for an announcement that others sign as well; left out: it is announced. */
  readonly announcementOut?: string | undefined;
}

/** What a person is asked to sign, and how many have. */
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

/** Before it is read: a bundle of gigabytes may be named by mistake. @throws DroverError DOCUMENT_TOO_LARGE */
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

/** @param current the envelope that is announced, null for none */
export const replacing = (
  current: Uint8Array | null,
  envelope: Uint8Array,
): PendingAnnouncement => ({ replaces: current && sha256Hex(current), envelope });

/**
 * What a person is about to sign: of this fleet, with bundles that enough release keys signed.
 * @throws DroverError FLEET_WRONG, ANNOUNCEMENT_INVALID, BUNDLE_*, MANIFEST_INVALID, JSON_INVALID
 */
export function readPending(pending: PendingAnnouncement, trust: TrustRoot): Announcement {
  const announcement = peekAnnouncement(pending.envelope);
  assertFleet(announcement, trust);
  for (const rollout of announcement.rollouts) verifyRollout(rollout, trust);
  return announcement;
}

/** How many keys of the rollout role have signed, and how many must. */
export function signaturesOf(
  { envelope }: PendingAnnouncement,
  trust: TrustRoot,
): { got: number; want: number } {
  const { rollout } = trust.roles;
  return { got: proofOf(envelope, rollout).signers.length, want: rollout.threshold };
}

/**
 * Whether the announcement may take the place of the one that is out.
 * @returns false when it is out already
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
