/**
 * Signs documents in one step, for tests that make many. It writes envelopes by its own words, so
 * that a reader which accepts only what our own writer makes is noticed.
 */

import type { Sha256Hex } from '../../shared/base/ids.ts';
import { bytesToBase64, utf8 } from '../../shared/crypto/bytes.ts';
import { keyIdOf, publicKeyOf, signBytes } from '../../shared/crypto/ed25519.ts';
import type { AnnouncementFields } from '../../shared/formats/announcement.ts';
import { bundleMessage } from '../../shared/formats/bundle-signature.ts';
import { PAYLOAD_TYPES, preAuthEncoding, type PayloadType } from '../../shared/formats/envelope.ts';
import type { LeaseFields } from '../../shared/formats/lease.ts';
import type { ProgressFields } from '../../shared/formats/progress.ts';

type Seeds = readonly Uint8Array[];

export function envelopeNow(type: PayloadType, payload: Uint8Array, seeds: Seeds): Uint8Array {
  const message = preAuthEncoding(type, payload);
  const signatures = seeds.map((seed) => ({
    sig: bytesToBase64(signBytes(message, seed)),
    keyid: keyIdOf(publicKeyOf(seed)),
  }));
  return utf8(JSON.stringify({ payload: bytesToBase64(payload), payloadType: type, signatures }));
}

const documentNow = (type: PayloadType, fields: object, seeds: Seeds): Uint8Array =>
  envelopeNow(type, utf8(JSON.stringify(fields)), seeds);

export const announcementNow = (fields: AnnouncementFields, seeds: Seeds): Uint8Array =>
  documentNow(PAYLOAD_TYPES.announcement, fields, seeds);

export const progressNow = (fields: ProgressFields, seeds: Seeds): Uint8Array =>
  documentNow(PAYLOAD_TYPES.progress, fields, seeds);

export const leaseNow = (fields: LeaseFields, seeds: Seeds): Uint8Array =>
  documentNow(PAYLOAD_TYPES.lease, fields, seeds);

/** @returns 64 raw bytes */
export const bundleSignatureNow = (
  manifestBytes: Uint8Array,
  payloadSha256: Sha256Hex,
  seed: Uint8Array,
): Uint8Array => signBytes(bundleMessage(manifestBytes, payloadSha256), seed);
