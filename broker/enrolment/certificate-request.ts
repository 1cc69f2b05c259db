/**
 * Checks the certificate signing request (PKCS #10) of a robot, which is not trusted. Only its
 * public key is used afterwards: attributes such as extensions that it asks for are ignored. PKI.js
 * is large: load this file only where certificates are issued.
 */

import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { CertificationRequest } from 'pkijs';
import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { commonNamesOf, firstElementBytes, signatureKindOfPublic, spkiOf } from './x509.ts';

const PEM =
  /^-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----\s+([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;

export interface CheckedRequest {
  /** DER of its SubjectPublicKeyInfo, as OpenSSL writes it. */
  readonly publicKey: Uint8Array;
  /** SHA-256 of that: the name of the key. */
  readonly keySha256: Sha256Hex;
  /** SHA-256 of the DER of the request, which a renewal is signed over. */
  readonly sha256: Sha256Hex;
  /** Robots that it names; it need not name any. */
  readonly names: readonly string[];
}

/** @throws DroverError CSR_INVALID, CSR_KEY_REFUSED */
export function checkRequest(pem: string): CheckedRequest {
  const der = derOf(pem);
  const request = parse(der);
  const key = keyOf(request);
  const kind = signatureKindOfPublic(key);
  if (!kind) {
    const got = [key.asymmetricKeyType, ...detailsOf(key)].join(' ');
    const want = 'want P-256, Ed25519, or RSA of 2048 to 4096 bits and exponent 65537';
    throw new DroverError('CSR_KEY_REFUSED', `read request: its key (got ${got}, ${want})`);
  }
  const { signatureAlgorithm, signatureValue, tbsView } = request;
  const said = signatureAlgorithm.algorithmId;
  if (said !== kind.oid) {
    throw invalid(`its signature algorithm (got ${printable(said, 40)}, want ${kind.oid})`);
  }
  const signature = signatureValue.valueBlock.valueHexView;
  if (!isSigned(kind.digest, { body: tbsView, key, signature })) {
    throw invalid('its signature is not by its own key');
  }
  const publicKey = new Uint8Array(spkiOf(key));
  return {
    publicKey,
    keySha256: sha256Hex(publicKey),
    sha256: sha256Hex(der),
    names: commonNamesOf(request.subject),
  };
}

function derOf(pem: string): Uint8Array {
  const [, base64] = pem.length <= LIMITS.csrBytesMax ? (PEM.exec(pem) ?? []) : [];
  if (base64 === undefined) {
    const want = `want one PEM block of at most ${LIMITS.csrBytesMax} bytes`;
    throw invalid(`not a CERTIFICATE REQUEST (${want})`);
  }
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

function parse(der: Uint8Array): CertificationRequest {
  try {
    if (firstElementBytes(der) === der.byteLength) return CertificationRequest.fromBER(der);
  } catch (cause) {
    throw invalid('it cannot be read as PKCS #10', cause);
  }
  // The library reads one element, and says nothing of bytes behind it.
  throw invalid('it cannot be read as PKCS #10: bytes behind its end, or too few');
}

function keyOf({ subjectPublicKeyInfo }: CertificationRequest): KeyObject {
  try {
    const key = Buffer.from(subjectPublicKeyInfo.toSchema().toBER());
    return createPublicKey({ key, format: 'der', type: 'spki' });
  } catch (cause) {
    throw invalid('its public key cannot be read', cause);
  }
}

function detailsOf({ asymmetricKeyDetails: details }: KeyObject): (string | number)[] {
  const exponent = details?.publicExponent;
  const said = exponent === undefined ? undefined : `exponent ${exponent}`;
  return [details?.namedCurve, details?.modulusLength, said].filter((one) => one !== undefined);
}

function isSigned(
  digest: string | null,
  { body, key, signature }: { body: Uint8Array; key: KeyObject; signature: Uint8Array },
): boolean {
  try {
    return verify(digest, body, key, signature);
  } catch {
    return false; // a signature of another form
  }
}

const invalid = (why: string, cause?: unknown): DroverError =>
  new DroverError('CSR_INVALID', `read request: ${why}`, { ...(cause !== undefined && { cause }) });
