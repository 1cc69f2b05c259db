/**
 * Bodies of the HTTP API that more than one program reads: refusals, the doors of a broker, claims,
 * and the requests of a robot that enrols or renews its certificate. A claim is a secret that is
 * good once: the broker keeps its hash alone. The robot makes its own secret or key and sends only
 * the hash, or a request for a certificate, so that an answer holds no secret and can be lost.
 * Sans-I/O.
 */

import { z } from 'zod';
import { DroverError, isErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import { answerKind, parseDocument, robotIdSchema, sha256Schema } from './schema.ts';
import { parseStrictJson } from './strict-json.ts';

/** The path of the HTTP API on which robots enrol. */
export const ENROL_PATH = '/enrol';
/** The path on which they renew their certificates. */
export const RENEW_PATH = '/renew';

/** The path on which a broker names its MQTT doors, to everybody. */
export const SITE_PATH = '/site';

const SCHEMES = ['mqtts', 'wss', 'mqtt', 'ws'] as const;

/** Where MQTT clients reach a broker, with no secret. */
export const siteAnswerSchema = z.object({
  /** The address that its operator names, as `--broker` takes it; null: the doors count. */
  mqtt: z.string().max(LIMITS.profileValueCharsMax).nullable(),
  /** Its own doors, on the host of the HTTP API, those with TLS first. */
  doors: z
    .array(z.object({ scheme: z.enum(SCHEMES), port: z.number().int().min(1).max(65_535) }))
    .max(SCHEMES.length),
});
export type SiteAnswer = z.output<typeof siteAnswerSchema>;

/** 256 random bits in base64url; the first word lets scanners for secrets find it. */
const CLAIM = /^claim_[A-Za-z0-9_-]{43}$/;
const CLAIM_PREFIX = 'claim_';

const isClaim = (text: string): boolean => CLAIM.test(text);

/**
 * The claim in a file or an option: alone, or as `ID CLAIM`, a line of what drover-broker enrol has
 * written. It is a secret, and never in a message.
 * @throws DroverError USAGE
 */
export function parseClaim(text: string): string {
  const words = text.trim().split(/\s+/);
  const claims = words.filter(isClaim);
  if (claims.length > 1) {
    const why = `more than one claim (got ${claims.length}), and each is for another robot`;
    throw new DroverError('USAGE', `read claim: ${why}`, {
      hint: "give the line of this robot alone: grep '^ID ' claims.txt > claim",
    });
  }
  const last = words.at(-1) ?? '';
  if (isClaim(last)) return last;
  const want = `want claim_ and 43 characters (got ${last.length})`;
  throw new DroverError('USAGE', `read claim: this is none (${want})`);
}

/** @param bytes 32 random bytes in base64url */
export const claimText = (bytes: string): string => `${CLAIM_PREFIX}${bytes}`;

const pemSchema = z.string().max(LIMITS.csrBytesMax);

export const enrolRequestSchema = z
  .strictObject({
    claim: z.string().regex(CLAIM, 'want claim_ and 43 characters'),
    /** SHA-256 of the secret that the robot has made for itself. */
    token_sha256: sha256Schema.optional(),
    /** In its place: a request for a certificate (PKCS #10, PEM) by a key of the robot. */
    csr: pemSchema.optional(),
  })
  .refine((one) => (one.token_sha256 === undefined) !== (one.csr === undefined), {
    error: 'want token_sha256 or csr, and not both',
  });

/** `pending`: a person has to accept it. */
export const enrolAnswerSchema = z.object({
  robot_id: robotIdSchema,
  status: z.enum(['enrolled', 'pending']),
  /** PEM, for a robot that is enrolled and has sent a request for it. */
  certificate: pemSchema.optional(),
});

export type EnrolRequest = z.output<typeof enrolRequestSchema>;
/** The same as a robot sends it. */
export type EnrolAsk = z.input<typeof enrolRequestSchema>;
export type EnrolAnswer = z.output<typeof enrolAnswerSchema>;

export const renewRequestSchema = z.strictObject({
  /** The certificate that is in use, which may have expired (PEM). */
  certificate: pemSchema,
  /** The request for the next one (PKCS #10, PEM), by its key. */
  csr: pemSchema,
  /** Signature by the key of `certificate` over `renewalText`, in base64. */
  signature: z.string().regex(/^[A-Za-z0-9+/]{40,1400}={0,2}$/, 'want base64'),
});

export const renewAnswerSchema = z.object({ robot_id: robotIdSchema, certificate: pemSchema });

export type RenewRequest = z.output<typeof renewRequestSchema>;
export type RenewAnswer = z.output<typeof renewAnswerSchema>;

/** @param csrSha256 of the DER of the request */
export const renewalText = (csrSha256: string): string =>
  `drover certificate renewal\n${csrSha256}\n`;

/** @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseSiteAnswer = (bytes: Uint8Array): SiteAnswer =>
  parseDocument(
    answerKind('doors of the broker', siteAnswerSchema, LIMITS.localRequestBytesMax),
    bytes,
  );

/** @throws DroverError USAGE, JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseEnrolRequest = (bytes: Uint8Array): EnrolRequest =>
  parseDocument(
    {
      what: 'request to enrol',
      schema: enrolRequestSchema,
      bytesMax: LIMITS.localRequestBytesMax,
      code: 'USAGE',
    },
    bytes,
  );

/** @throws DroverError USAGE, JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseRenewRequest = (bytes: Uint8Array): RenewRequest =>
  parseDocument(
    {
      what: 'request to renew',
      schema: renewRequestSchema,
      bytesMax: LIMITS.localRequestBytesMax,
      code: 'USAGE',
    },
    bytes,
  );

/** @throws DroverError BROKER_REFUSED, JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseRenewAnswer = (bytes: Uint8Array): RenewAnswer =>
  parseDocument(
    {
      what: 'answer to a renewal',
      schema: renewAnswerSchema,
      bytesMax: LIMITS.localRequestBytesMax,
      code: 'BROKER_REFUSED',
    },
    bytes,
  );

/** @throws DroverError BROKER_REFUSED, JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseEnrolAnswer = (bytes: Uint8Array): EnrolAnswer =>
  parseDocument(
    {
      what: 'answer to an enrolment',
      schema: enrolAnswerSchema,
      bytesMax: LIMITS.localRequestBytesMax,
      code: 'BROKER_REFUSED',
    },
    bytes,
  );

/** A short form of a robot's hash that people compare: on the robot and at the broker. */
export const keyNameOf = (tokenSha256: string): string =>
  `${tokenSha256.slice(0, 4)}-${tokenSha256.slice(4, 8)}-${tokenSha256.slice(8, 12)}`;

const MESSAGE_CHARS_MAX = 1_000;
const refusalSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().default('') }),
});

/** The refusal as it was thrown at the broker; BROKER_REFUSED for anything else. */
export function readApiRefusal(status: number, bytes: Uint8Array): DroverError {
  const refusal = readRefusal(bytes);
  if (refusal === null) {
    return new DroverError('BROKER_REFUSED', `call the API: HTTP status ${status}, not of Drover`);
  }
  const { code, message, hint } = refusal;
  const said = printable(message, MESSAGE_CHARS_MAX);
  // A newer broker may use a code that this program does not know.
  if (!isErrorCode(code)) return new DroverError('BROKER_REFUSED', `${said} [${printable(code)}]`);
  return new DroverError(code, said, hint === '' ? {} : { hint: printable(hint, 300) });
}

function readRefusal(bytes: Uint8Array): z.output<typeof refusalSchema>['error'] | null {
  try {
    const answer = parseStrictJson(bytes, 'refusal', LIMITS.apiAnswerBytesMax);
    const result = refusalSchema.safeParse(answer);
    return result.success ? result.data.error : null;
  } catch (error) {
    if (error instanceof DroverError) return null; // a page of a proxy in between
    throw error;
  }
}
