/**
 * The bundle signature: Ed25519 over manifest.json's exact bytes followed by the 32 raw bytes of
 * SHA-256(payload.tar.gz). It is checked twice on a robot: on arrival of an announcement with the
 * hash that the manifest declares (before a byte is downloaded), and at the end with the hash of
 * what was really received.
 * Sans-I/O.
 */

import { concatBytes, hexToBytes } from '../crypto/bytes.ts';
import { DroverError } from '../base/errors.ts';
import { SIGNATURE_BYTES, signatureIsValid, type Signer } from '../crypto/ed25519.ts';
import type { Sha256Hex } from '../base/ids.ts';
import { parseManifest, type Manifest } from './manifest.ts';
import { rolesOfKey, type TrustRoot } from './trust.ts';

declare const verified: unique symbol;
/** Proof that enough release keys signed these manifest bytes and this payload hash. */
export interface VerifiedBundle {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly signatures: readonly Uint8Array[];
  readonly [verified]: true;
}

/** The bytes that a release key signs. [P-3.3] */
export function bundleMessage(manifestBytes: Uint8Array, payloadSha256: Sha256Hex): Uint8Array {
  const digest = hexToBytes(payloadSha256);
  if (!digest || digest.byteLength !== 32) throw new TypeError('bundleMessage: not a SHA-256');
  return concatBytes(manifestBytes, digest);
}

/** @returns 64 raw bytes, equal to what Python's cryptography makes of the same seed and bundle */
export async function signBundle(
  manifestBytes: Uint8Array,
  payloadSha256: Sha256Hex,
  signer: Signer,
): Promise<Uint8Array> {
  return await signer.sign(bundleMessage(manifestBytes, payloadSha256));
}

/**
 * The manifest is parsed (strictly) for the hash that it declares; nothing else of it is used, and
 * nothing is returned, before enough signatures hold. [P-3.5]
 * @param payloadSha256 hash of the received payload; without it the hash that the manifest declares
 *   is used
 * @throws DroverError SIGNATURE_MALFORMED, BUNDLE_SIGNATURE_BAD, BUNDLE_KEY_UNKNOWN,
 *   BUNDLE_SIGNATURES_TOO_FEW, MANIFEST_INVALID, JSON_INVALID, PAYLOAD_HASH_MISMATCH
 */
export function verifyBundle(input: {
  manifestBytes: Uint8Array;
  signatures: readonly Uint8Array[];
  trust: TrustRoot;
  payloadSha256?: Sha256Hex;
}): VerifiedBundle {
  const { manifestBytes, signatures, trust } = input;
  for (const signature of signatures) {
    if (signature.byteLength === SIGNATURE_BYTES) continue;
    throw new DroverError(
      'SIGNATURE_MALFORMED',
      `verify bundle: wrong signature length (got ${signature.byteLength} bytes, want ${SIGNATURE_BYTES})`,
    );
  }
  // The declared hash has to be read to form the message; nothing else of the document is used
  // before the signature holds.
  const manifest = parseManifest(manifestBytes);
  const payloadSha256 = input.payloadSha256 ?? manifest.payload_sha256;
  if (payloadSha256 !== manifest.payload_sha256) {
    throw new DroverError(
      'PAYLOAD_HASH_MISMATCH',
      `verify bundle ${manifest.version}: payload hash differs (got ${payloadSha256.slice(0, 12)}, want ${manifest.payload_sha256.slice(0, 12)})`,
    );
  }
  assertThreshold(bundleMessage(manifestBytes, payloadSha256), signatures, trust, manifest.version);
  return { manifest, manifestBytes, signatures } as unknown as VerifiedBundle;
}

/**
 * Verifies an announced rollout, before any byte of its payload is received. [P-3.6]
 * @throws as verifyBundle
 */
export function verifyRollout(
  rollout: {
    readonly manifest: Uint8Array;
    readonly signature: Uint8Array;
    readonly cosignatures: readonly Uint8Array[];
  },
  trust: TrustRoot,
): VerifiedBundle {
  const signatures = [rollout.signature, ...rollout.cosignatures];
  return verifyBundle({ manifestBytes: rollout.manifest, signatures, trust });
}

function assertThreshold(
  message: Uint8Array,
  signatures: readonly Uint8Array[],
  trust: TrustRoot,
  version: string,
): void {
  const { keys, threshold } = trust.roles.release;
  const signedBy = (key: string) =>
    signatures.some((signature) => signatureIsValid(signature, message, key));
  const good = keys.filter(signedBy).length;
  if (good >= threshold) return;
  if (good > 0) {
    throw new DroverError(
      'BUNDLE_SIGNATURES_TOO_FEW',
      `verify bundle ${version}: too few release signatures (got ${good}, want ${threshold})`,
      { facts: { got: good, want: threshold } },
    );
  }
  const others = [...trust.roles.root.keys, ...trust.roles.rollout.keys];
  const wrongRole = others.find((key) => !keys.includes(key) && signedBy(key));
  if (wrongRole !== undefined) {
    throw new DroverError(
      'BUNDLE_KEY_UNKNOWN',
      `verify bundle ${version}: signed by a key of another role (got ${rolesOfKey(trust, wrongRole).join(', ')}, want release)`,
    );
  }
  throw new DroverError(
    'BUNDLE_SIGNATURE_BAD',
    `verify bundle ${version}: no release key of trust.json version ${trust.version} made this signature`,
  );
}
