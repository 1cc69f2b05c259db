/**
 * The parts of a bundle: their names and largest sizes. One rule for a folder, a `.drover` file and
 * a stick. Sans-I/O.
 */

import { SIGNATURE_BYTES } from '../crypto/ed25519.ts';
import {
  ATTACHMENT_KINDS,
  assertAttachmentSize,
  attachmentPartName,
  type AttachmentKind,
} from './attachments.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { isVersion } from '../base/version.ts';

export const MANIFEST_FILE = 'manifest.json';
export const PAYLOAD_FILE = 'payload.tar.gz';
/** Name of the only member of a payload that is a system image. */
export const IMAGE_MEMBER = 'image';
export const SIGNATURE_FILE = 'signature.sig';
/** Further 64-byte signatures one after the other, for release thresholds above 1. */
export const COSIGNATURES_FILE = 'cosignatures.sig';
/** Proof that the log holds the manifest. It is made after the signature, which does not cover it. */
export const LOG_PROOF_FILE = 'log.tlog-proof';
export const DELTAS_FOLDER = 'deltas';
const DELTA_SUFFIXES = { zstd: 'zst', add: 'add' } as const;

export function deltaPartName(delta: {
  readonly from_version: string;
  readonly coding: keyof typeof DELTA_SUFFIXES;
}): string {
  return `${DELTAS_FOLDER}/${delta.from_version}.${DELTA_SUFFIXES[delta.coding]}`;
}

export const COSIGNATURES_BYTES_MAX = (LIMITS.signaturesMax - 1) * SIGNATURE_BYTES;

/** True for the names a bundle may hold; `deltas/<from-version>.zst` and `.add` and attachments among them. */
export function isPartName(name: string): boolean {
  const delta = /^deltas\/([^/]+)\.(?:zst|add)$/.exec(name)?.[1];
  if (delta !== undefined) return isVersion(delta);
  return (
    [MANIFEST_FILE, PAYLOAD_FILE, SIGNATURE_FILE, COSIGNATURES_FILE].includes(name) ||
    name === LOG_PROOF_FILE ||
    attachmentKindOf(name) !== null
  );
}

/** Null for a part of another kind. */
function attachmentKindOf(name: string): AttachmentKind | null {
  return ATTACHMENT_KINDS.find((kind) => attachmentPartName(kind) === name) ?? null;
}

/** @throws DroverError SIGNATURE_MALFORMED, DOCUMENT_TOO_LARGE, BUNDLE_INCOMPLETE (empty payload),
 * PAYLOAD_TOO_LARGE, ATTACHMENT_INVALID */
export function assertPartSize(name: string, bytes: number): void {
  const attachment = attachmentKindOf(name);
  if (attachment !== null) return assertAttachmentSize(attachment, bytes);
  if (name === SIGNATURE_FILE || name === COSIGNATURES_FILE) {
    const whole = bytes > 0 && bytes % SIGNATURE_BYTES === 0;
    const bytesMax = name === SIGNATURE_FILE ? SIGNATURE_BYTES : COSIGNATURES_BYTES_MAX;
    if (whole && bytes <= bytesMax) return;
    const want = name === SIGNATURE_FILE ? '64' : `a multiple of 64, at most ${bytesMax}`;
    throw new DroverError(
      'SIGNATURE_MALFORMED',
      `read ${name}: wrong length (got ${bytes} bytes, want ${want})`,
    );
  }
  if (name === MANIFEST_FILE || name === LOG_PROOF_FILE) {
    const bytesMax = name === MANIFEST_FILE ? LIMITS.manifestBytesMax : LIMITS.logProofBytesMax;
    if (bytes <= bytesMax) return;
    const sizes = `got ${bytes} bytes, want at most ${bytesMax}`;
    throw new DroverError('DOCUMENT_TOO_LARGE', `read ${name}: too large (${sizes})`);
  }
  if (bytes > 0 && bytes <= LIMITS.payloadBytesMax) return;
  throw new DroverError(
    bytes === 0 ? 'BUNDLE_INCOMPLETE' : 'PAYLOAD_TOO_LARGE',
    `read ${name}: wrong size (got ${bytes} bytes, want 1 to ${LIMITS.payloadBytesMax})`,
  );
}
