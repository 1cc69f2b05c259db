/**
 * Builds certificates, with PKI.js for their form and OpenSSL (node:crypto) for the signature.
 * Every field is set here: nothing of a request reaches a certificate but its public key. PKI.js
 * is large: load this file only where certificates are issued.
 */

import {
  BitString,
  fromBER,
  Integer,
  Null,
  OctetString,
  PrintableString,
  Utf8String,
} from 'asn1js';
import { createPublicKey, sign, X509Certificate, type KeyObject } from 'node:crypto';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  Extension,
  ExtKeyUsage,
  PublicKeyInfo,
  RelativeDistinguishedNames,
  Time,
  TimeType,
} from 'pkijs';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { sha256 } from '../../shared/crypto/hash.ts';

/** Object identifiers: RFC 5280, RFC 5758, RFC 8410, RFC 8017. */
const OID = {
  commonName: '2.5.4.3',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

export interface SignatureKind {
  readonly oid: string;
  /** Digest for OpenSSL; null where the algorithm has its own. */
  readonly digest: string | null;
  readonly hasNull: boolean;
}

/** The one signature algorithm of each kind of key that we take. */
const SIGNATURES: Readonly<Record<string, SignatureKind>> = {
  ec: { oid: '1.2.840.10045.4.3.2', digest: 'sha256', hasNull: false },
  rsa: { oid: '1.2.840.113549.1.1.11', digest: 'sha256', hasNull: true },
  ed25519: { oid: '1.3.101.112', digest: null, hasNull: false },
};

const CURVE = 'prime256v1';
const RSA_BITS = { least: 2048, most: 4096 } as const;

/**
 * How signatures by this key look; null for a kind or size of key that we do not take. Public keys
 * only: P-256, Ed25519, and RSA of 2048 to 4096 bits.
 */
export function signatureKindOfPublic(key: KeyObject): SignatureKind | null {
  const { namedCurve, modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  const kind = key.asymmetricKeyType ?? '';
  if (kind === 'ec' && namedCurve !== CURVE) return null;
  const isSized = modulusLength >= RSA_BITS.least && modulusLength <= RSA_BITS.most;
  if (kind === 'rsa' && (!isSized || publicExponent < 65_537n)) return null;
  return SIGNATURES[kind] ?? null;
}

/** Length of the element that DER begins with; -1 for none. */
export const firstElementBytes = (der: Uint8Array): number => fromBER(der).offset;

export const spkiOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });

/** An authority that signs: its certificate and its private key. */
export interface Issuer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

export interface CertificateFields {
  /** DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly commonName: string;
  /** Hex, of 16 bytes. */
  readonly serial: string;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
}

/** @returns PEM of a certificate for a client of TLS */
export function issueClientCertificate(issuer: Issuer, fields: CertificateFields): string {
  const authority = Certificate.fromBER(issuer.certificate.raw);
  const certificate = begin(fields, signatureKindOf(issuer.key));
  certificate.issuer = authority.subject;
  certificate.extensions = [
    extension(OID.basicConstraints, true, new BasicConstraints({ cA: false }).toSchema()),
    extension(OID.keyUsage, true, keyUsage(0b1000_0000, 7)), // digitalSignature
    extension(
      OID.extendedKeyUsage,
      false,
      new ExtKeyUsage({ keyPurposes: [OID.clientAuth] }).toSchema(),
    ),
    extension(OID.subjectKeyId, false, new OctetString({ valueHex: keyIdOf(fields.publicKey) })),
    ...authorityKeyId(authority),
  ];
  return signed(certificate, issuer.key);
}

/** @returns PEM of a certificate of an authority that signs itself and no other authority */
export function selfSignedAuthority(key: KeyObject, fields: CertificateFields): string {
  const certificate = begin(fields, signatureKindOf(key));
  certificate.issuer = certificate.subject;
  certificate.extensions = [
    extension(
      OID.basicConstraints,
      true,
      new BasicConstraints({ cA: true, pathLenConstraint: 0 }).toSchema(),
    ),
    extension(OID.keyUsage, true, keyUsage(0b0000_0110, 1)), // keyCertSign, cRLSign
    extension(OID.subjectKeyId, false, new OctetString({ valueHex: keyIdOf(fields.publicKey) })),
  ];
  return signed(certificate, key);
}

function begin(fields: CertificateFields, kind: SignatureKind): Certificate {
  const certificate = new Certificate();
  certificate.version = 2; // X.509 v3
  certificate.serialNumber = new Integer({ valueHex: bytesOf(Buffer.from(fields.serial, 'hex')) });
  certificate.notBefore = timeOf(fields.notBefore);
  certificate.notAfter = timeOf(fields.notAfter);
  certificate.subject = new RelativeDistinguishedNames({
    typesAndValues: [
      new AttributeTypeAndValue({
        type: OID.commonName,
        value: new Utf8String({ value: fields.commonName }),
      }),
    ],
  });
  certificate.subjectPublicKeyInfo = PublicKeyInfo.fromBER(bytesOf(fields.publicKey));
  certificate.signature = algorithmOf(kind);
  certificate.signatureAlgorithm = algorithmOf(kind);
  return certificate;
}

function signed(certificate: Certificate, key: KeyObject): string {
  const body = certificate.encodeTBS().toBER();
  const signature = sign(signatureKindOf(key).digest, Buffer.from(body), key);
  certificate.signatureValue = new BitString({ valueHex: bytesOf(signature) });
  return pemOf('CERTIFICATE', Buffer.from(certificate.toSchema(true).toBER()));
}

const signatureKindOf = (key: KeyObject): SignatureKind => {
  const kind = signatureKindOfPublic(createPublicKey(key));
  if (kind) return kind;
  throw new DroverError('TLS_INVALID', 'use key of the authority: want P-256, Ed25519 or RSA');
};

const algorithmOf = ({ oid, hasNull }: SignatureKind): AlgorithmIdentifier =>
  new AlgorithmIdentifier({ algorithmId: oid, ...(hasNull && { algorithmParams: new Null() }) });

/** RFC 5280 §4.1.2.5: UTCTime until 2049. */
function timeOf(atMs: EpochMs): Time {
  const value = new Date(atMs);
  const isLate = value.getUTCFullYear() >= 2050;
  return new Time({ type: isLate ? TimeType.GeneralizedTime : TimeType.UTCTime, value });
}

function extension(extnID: string, critical: boolean, value: { toBER(): ArrayBuffer }): Extension {
  return new Extension({ extnID, critical, extnValue: value.toBER() });
}

const keyUsage = (bits: number, unusedBits: number): BitString =>
  new BitString({ valueHex: bytesOf(Uint8Array.of(bits)), unusedBits });

/** RFC 7093 §2, method 1, over the whole SubjectPublicKeyInfo: the leftmost 160 bits of SHA-256. */
const keyIdOf = (publicKey: Uint8Array): ArrayBuffer => bytesOf(sha256(publicKey).slice(0, 20));

function authorityKeyId(authority: Certificate): Extension[] {
  const own = authority.extensions?.find(({ extnID }) => extnID === OID.subjectKeyId);
  const id: unknown = own?.parsedValue;
  if (!(id instanceof OctetString)) return [];
  const value = new AuthorityKeyIdentifier({
    keyIdentifier: new OctetString({ valueHex: id.valueBlock.valueHex }),
  });
  return [extension(OID.authorityKeyId, false, value.toSchema())];
}

/** An ArrayBuffer of its own, which PKI.js wants. */
const bytesOf = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

const pemOf = (label: string, der: Buffer): string =>
  `-----BEGIN ${label}-----\n${der.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`;

/** Text of the common names of a subject, of those that are text. */
export const commonNamesOf = ({ typesAndValues }: RelativeDistinguishedNames): string[] =>
  typesAndValues
    .filter(({ type }) => type === OID.commonName)
    .map(({ value }) => {
      const isText = value instanceof Utf8String || value instanceof PrintableString;
      return isText ? value.valueBlock.value : '';
    });
