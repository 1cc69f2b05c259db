/**
 * Writes the request for a certificate (PKCS #10, RFC 2986) of a key of this robot, without a name:
 * the broker knows it. It only writes DER, of one kind of key; what others send is read by OpenSSL
 * alone. Libraries for this weigh as much as a twentieth of the agent.
 */

import { createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';

/** Tags of DER: X.690 §8. */
const TAG = { integer: 0x02, bitString: 0x03, sequence: 0x30, attributes: 0xa0 } as const;
/** AlgorithmIdentifier of ecdsa-with-SHA256: RFC 5758 §3.2. */
const ECDSA_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');

/** P-256: every TLS library knows it, and a signature costs a small board a millisecond. */
export const makeKey = (): KeyObject =>
  generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;

export const ownSpkiOf = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ type: 'spki', format: 'der' });

export interface SigningRequest {
  readonly pem: string;
  /** SHA-256 of its DER. */
  readonly sha256: Sha256Hex;
  /** SHA-256 of the public key, which people compare a short form of. */
  readonly keySha256: Sha256Hex;
}

/** @param key made by `makeKey` */
export function makeRequest(key: KeyObject): SigningRequest {
  const publicKey = ownSpkiOf(key);
  const info = der(
    TAG.sequence,
    der(TAG.integer, Buffer.of(0)),
    der(TAG.sequence), // the subject has no name
    publicKey,
    der(TAG.attributes),
  );
  const signature = sign('sha256', info, key);
  const bits = der(TAG.bitString, Buffer.of(0), signature);
  const request = der(TAG.sequence, info, ECDSA_SHA256, bits);
  const lines = request.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n');
  return {
    pem: `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`,
    sha256: sha256Hex(request),
    keySha256: sha256Hex(publicKey),
  };
}

/** A value of DER with its contents, which are shorter than 64 KiB. */
function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const { length } = body;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), body]);
}
