/**
 * Bodies of the HTTP API that more than one program reads: refusals, claims, and the request of
 * a robot that enrols. A claim is a secret that is good once: the broker keeps its hash alone.
 * The robot makes its own secret and sends only the hash, so that an answer holds no secret and
 * can be lost. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError, isErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import { parseDocument, robotIdSchema, sha256Schema } from './schema.ts';
import { parseStrictJson } from './strict-json.ts';

/** The path of the HTTP API on which robots enrol. */
export const ENROL_PATH = '/enrol';

/** 256 random bits in base64url; the first word lets scanners for secrets find it. */
const CLAIM = /^claim_[A-Za-z0-9_-]{43}$/;
const CLAIM_PREFIX = 'claim_';

export const isClaim = (text: string): boolean => CLAIM.test(text);

/** @param bytes 32 random bytes in base64url */
export const claimText = (bytes: string): string => `${CLAIM_PREFIX}${bytes}`;

export const enrolRequestSchema = z.strictObject({
  claim: z.string().regex(CLAIM, 'want claim_ and 43 characters'),
  /** SHA-256 of the secret that the robot has made for itself. */
  token_sha256: sha256Schema,
});

/** `pending`: a person has to accept it. */
export const enrolAnswerSchema = z.object({
  robot_id: robotIdSchema,
  status: z.enum(['enrolled', 'pending']),
});

export type EnrolRequest = z.output<typeof enrolRequestSchema>;
export type EnrolAnswer = z.output<typeof enrolAnswerSchema>;

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
