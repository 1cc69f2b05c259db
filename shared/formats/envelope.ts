/**
 * DSSE envelopes (github.com/secure-systems-lab/dsse, protocol v1): the signature covers the type
 * and the exact payload bytes, so a signed document of one kind can never pass for another.
 * Sans-I/O.
 */

import { z } from 'zod';
import { bytesToBase64, concatBytes, utf8 } from '../crypto/bytes.ts';
import {
  keyIdOf,
  signatureIsValid,
  SIGNATURE_BYTES,
  type PublicKeyHex,
  type Signer,
} from '../crypto/ed25519.ts';
import { sha256Hex } from '../crypto/hash.ts';
import { DroverError } from '../base/errors.ts';
import type { Sha256Hex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { base64Schema, parseDocument } from './schema.ts';
import type { KeyRole } from './trust.ts';

/** [P-4.4] */
export const PAYLOAD_TYPES = {
  announcement: 'application/vnd.drover.announcement+json',
  progress: 'application/vnd.drover.progress+json',
  trust: 'application/vnd.drover.trust+json',
  lease: 'application/vnd.drover.lease+json',
  parcel: 'application/vnd.drover.parcel+json',
  report: 'application/vnd.drover.report+json',
  approval: 'application/vnd.drover.approval+json',
} as const;
export type PayloadType = (typeof PAYLOAD_TYPES)[keyof typeof PAYLOAD_TYPES];

const envelopeSchema = z.object({
  payloadType: z.string().max(128),
  payload: base64Schema(LIMITS.announcementBytesMax),
  signatures: z
    .array(z.object({ keyid: z.string().max(128).default(''), sig: base64Schema(SIGNATURE_BYTES) }))
    .min(1)
    .max(LIMITS.signaturesMax),
});

export type Envelope = z.output<typeof envelopeSchema>;

const KIND = {
  what: 'envelope',
  schema: envelopeSchema,
  bytesMax: LIMITS.announcementBytesMax * 2,
  code: 'ENVELOPE_MALFORMED',
} as const;

/** Pre-authentication encoding: what is really signed. [P-4.3] */
export function preAuthEncoding(type: string, payload: Uint8Array): Uint8Array {
  const typeBytes = utf8(type);
  return concatBytes(
    utf8(`DSSEv1 ${typeBytes.byteLength} `),
    typeBytes,
    utf8(` ${payload.byteLength} `),
    payload,
  );
}

/**
 * One envelope, signed by each key in turn.
 * @throws DroverError SIGN_COMMAND_FAILED
 */
export async function signEnvelope(
  type: PayloadType,
  payload: Uint8Array,
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const message = preAuthEncoding(type, payload);
  const signatures: WrittenSignature[] = [];
  for (const signer of signers) signatures.push(await signatureBy(signer, message));
  return utf8(JSON.stringify({ payloadType: type, payload: bytesToBase64(payload), signatures }));
}

interface WrittenSignature {
  readonly keyid: string;
  readonly sig: string;
}

async function signatureBy(signer: Signer, message: Uint8Array): Promise<WrittenSignature> {
  return { keyid: keyIdOf(signer.publicKey), sig: bytesToBase64(await signer.sign(message)) };
}

/**
 * The same envelope with signatures of further keys; one that signed already signs no second time.
 * @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE, ENVELOPE_MALFORMED, ENVELOPE_TYPE_WRONG,
 *   SIGN_COMMAND_FAILED
 */
export async function coSignEnvelope(
  bytes: Uint8Array,
  type: PayloadType,
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const { payloadType, payload, signatures } = openParts(bytes, type);
  const message = preAuthEncoding(type, payload);
  const written = signatures.map(({ keyid, sig }) => ({ keyid, sig: bytesToBase64(sig) }));
  for (const signer of signers) {
    const hasSigned = signatures.some(({ sig }) =>
      signatureIsValid(sig, message, signer.publicKey),
    );
    if (!hasSigned) written.push(await signatureBy(signer, message));
  }
  const made = { payloadType, payload: bytesToBase64(payload), signatures: written };
  const signed = utf8(JSON.stringify(made));
  parseDocument(KIND, signed); // not more signatures than a reader would accept
  return signed;
}

function openParts(bytes: Uint8Array, type: PayloadType): Envelope {
  const envelope = parseDocument(KIND, bytes);
  if (envelope.payloadType === type) return envelope;
  throw new DroverError(
    'ENVELOPE_TYPE_WRONG',
    `open envelope: wrong type (got ${JSON.stringify(envelope.payloadType)}, want ${type})`,
  );
}

/**
 * Checks type and signatures, and only then hands out the payload bytes.
 * A key counts once, however many signatures it made. [P-4.5]
 * @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE, ENVELOPE_MALFORMED, ENVELOPE_TYPE_WRONG,
 *   ENVELOPE_KEY_UNKNOWN, ENVELOPE_SIGNATURE_BAD, ENVELOPE_SIGNATURES_TOO_FEW
 */
export function openEnvelope(bytes: Uint8Array, type: PayloadType, role: KeyRole): Uint8Array {
  const envelope = openParts(bytes, type);
  const message = preAuthEncoding(type, envelope.payload);
  const good = role.keys.filter((key) =>
    envelope.signatures.some(({ sig }) => signatureIsValid(sig, message, key)),
  ).length;
  if (good >= role.threshold) return envelope.payload;
  throw thresholdMissed(envelope, role, { good, type });
}

/** Finds the keys of the role that signed, and the hash of the payload: for floors of `seq`. */
export function proofOf(
  bytes: Uint8Array,
  role: KeyRole,
): { signers: PublicKeyHex[]; sha256: Sha256Hex } {
  const envelope = parseDocument(KIND, bytes);
  const message = preAuthEncoding(envelope.payloadType, envelope.payload);
  const signers = role.keys.filter((key) =>
    envelope.signatures.some(({ sig }) => signatureIsValid(sig, message, key)),
  );
  return { signers, sha256: sha256Hex(envelope.payload) };
}

/** Ids of the keys of the role that signed: for the audit log, after `openEnvelope` accepted it. */
export const signersOf = (bytes: Uint8Array, role: KeyRole): string[] =>
  proofOf(bytes, role).signers.map(keyIdOf);

function thresholdMissed(
  envelope: Envelope,
  role: KeyRole,
  { good, type }: { readonly good: number; readonly type: PayloadType },
): DroverError {
  if (good > 0) {
    return new DroverError(
      'ENVELOPE_SIGNATURES_TOO_FEW',
      `open envelope: too few signatures of ${type === PAYLOAD_TYPES.trust ? 'root' : 'rollout'} keys (got ${good}, want ${role.threshold})`,
      { facts: { got: good, want: role.threshold } },
    );
  }
  const known = new Set(role.keys.map(keyIdOf));
  const named = envelope.signatures.map(({ keyid }) => keyid);
  if (named.some((keyid) => known.has(keyid))) {
    return new DroverError(
      'ENVELOPE_SIGNATURE_BAD',
      'open envelope: the signature does not fit the bytes',
    );
  }
  return new DroverError(
    'ENVELOPE_KEY_UNKNOWN',
    `open envelope: signed by a key outside the role (got ${named.join(', ').slice(0, 80)}, want ${[...known].join(' or ').slice(0, 80)})`,
  );
}

/** The payload of an envelope whose signatures are NOT checked. */
export function peekEnvelope(bytes: Uint8Array): Uint8Array {
  return parseDocument(KIND, bytes).payload;
}
