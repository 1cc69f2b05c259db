/**
 * Ed25519 (RFC 8032) as Drover uses it: raw 32-byte seeds, raw 32-byte public keys as 64 hex
 * digits, raw 64-byte signatures. The only file that imports @noble/*.
 *
 * Verification is RFC 8032 strict (not ZIP-215): a signature that OpenSSL refuses is refused here,
 * so two verifiers never disagree about one bundle.
 * Sans-I/O.
 */

import * as ed from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { bytesToHex, hexToBytes } from './bytes.ts';
import { sha256Hex } from './hash.ts';

ed.hashes.sha512 = sha512;

export const SEED_BYTES = 32;
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** 64 hex digits of a raw Ed25519 public key. */
export type PublicKeyHex = string;

export const PUBLIC_KEY_PATTERN = /^[0-9a-f]{64}$/;

/** [P-4.1] */
export function publicKeyOf(seed: Uint8Array): PublicKeyHex {
  return bytesToHex(ed.getPublicKey(seed));
}

export function signBytes(message: Uint8Array, seed: Uint8Array): Uint8Array {
  return ed.sign(message, seed);
}

/**
 * noble multiplies the equation by the cofactor and OpenSSL does not, so a signer could add a point
 * of small order to a signature and have the two disagree. Without such a part they cannot.
 */
function isTorsionFree(point: Uint8Array): boolean {
  return ed.Point.fromBytes(point).isTorsionFree();
}

/** Never throws: malformed input of any kind is simply not a valid signature. [P-3.4] */
export function signatureIsValid(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: PublicKeyHex,
): boolean {
  const key = hexToBytes(publicKey);
  if (!key || key.byteLength !== PUBLIC_KEY_BYTES) return false;
  if (signature.byteLength !== SIGNATURE_BYTES) return false;
  try {
    if (!ed.verify(signature, message, key, { zip215: false })) return false;
    return isTorsionFree(signature.subarray(0, PUBLIC_KEY_BYTES)) && isTorsionFree(key);
  } catch {
    // noble throws on points that are not on the curve: hostile input, not an error of ours.
    return false;
  }
}

/** Short name of a key in envelopes: 16 hex digits of the SHA-256 of the raw public key. */
export function keyIdOf(publicKey: PublicKeyHex): string {
  const key = hexToBytes(publicKey);
  if (!key) throw new TypeError('keyIdOf: not a public key');
  return sha256Hex(key).slice(0, 16);
}

/**
 * A private key that signs, wherever it lies: a seed in memory, or a device that never gives its
 * key away (shared/io/sign-command.ts).
 */
export interface Signer {
  readonly publicKey: PublicKeyHex;
  /**
   * @returns 64 raw bytes
   * @throws DroverError SIGN_COMMAND_FAILED
   */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** @param seed 32 raw bytes */
export function seedSigner(seed: Uint8Array): Signer {
  const publicKey = publicKeyOf(seed);
  return { publicKey, sign: (message) => Promise.resolve(signBytes(message, seed)) };
}
