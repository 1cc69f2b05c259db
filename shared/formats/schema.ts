/**
 * Parses untrusted bytes into a typed document: strict JSON, then a zod schema, then one
 * DroverError that names the first bad field. Everything that crosses a trust boundary is parsed
 * here. Sans-I/O.
 */

import { z } from 'zod';
import { base64ToBytes } from '../crypto/bytes.ts';
import type { ErrorCode } from '../base/error-catalogue.ts';
import { DroverError } from '../base/errors.ts';
import {
  ID_PATTERN,
  SHA256_PATTERN,
  type RobotId,
  type RolloutId,
  type Sha256Hex,
} from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import { parseStrictJson } from './strict-json.ts';
import { isVersion } from '../base/version.ts';

export interface DocumentKind<S extends z.ZodType> {
  /** Name in messages, for example `manifest.json`. */
  readonly what: string;
  readonly schema: S;
  readonly bytesMax: number;
  /** Code of a document that is JSON but not of this shape. */
  readonly code: ErrorCode;
  /** Hint for bytes that are no such document; left out: the hint of the code. */
  readonly hint?: string;
}

/** An answer of the HTTP API of a broker: a person can only check the address that gave it. */
export const answerKind = <S extends z.ZodType>(
  what: string,
  schema: S,
  bytesMax: number = LIMITS.apiAnswerBytesMax,
) => ({ what, schema, bytesMax, code: 'JSON_INVALID', hint: ANSWER_HINT }) as const;

const ANSWER_HINT =
  'see that --url or --api names the HTTP port of a drover-broker (curl URL/healthz says {"healthy": …}), and nothing that stands before it, such as the page of a proxy; a broker of another version than drover may answer in another form: drover --version';

/** [P-1.2] @throws DroverError DOCUMENT_TOO_LARGE, JSON_INVALID, or the code of the kind */
export function parseDocument<S extends z.ZodType>(
  kind: DocumentKind<S>,
  bytes: Uint8Array,
): z.output<S> {
  const result = kind.schema.safeParse(parseJson(kind, bytes));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = printable(issue?.path.join('.') ?? '');
  const why = printable(issue?.message ?? 'bad');
  throw new DroverError(
    kind.code,
    `parse ${kind.what}: field ${field === '' ? '(document)' : field}: ${why}`,
    { facts: { field }, ...(kind.hint !== undefined && { hint: kind.hint }) },
  );
}

function parseJson({ what, bytesMax, hint }: DocumentKind<z.ZodType>, bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes, what, bytesMax);
  } catch (cause) {
    const isHinted = cause instanceof DroverError && cause.code === 'JSON_INVALID';
    if (!isHinted || hint === undefined) throw cause;
    throw new DroverError(cause.code, cause.message, { cause, hint });
  }
}

/** [P-1.4] */
export const idSchema = z.string().regex(ID_PATTERN, 'want 1 to 64 of A-Z a-z 0-9 _ -');
export const robotIdSchema = idSchema.transform((text) => text as RobotId);
export const rolloutIdSchema = idSchema.transform((text) => text as RolloutId);
/** [P-1.6] */
export const sha256Schema = z
  .string()
  .regex(SHA256_PATTERN, 'want 64 lower-case hex digits')
  .transform((text) => text as Sha256Hex);
export const versionSchema = z.string().refine(isVersion, 'want a semantic version such as 1.4.2');
export const sizeSchema = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const seqSchema = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

/** RFC 3339 in UTC, whole seconds or milliseconds. Output: epoch milliseconds. [P-1.7] */
export const instantSchema = z
  .string()
  .regex(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z$/,
    'want a UTC instant such as 2026-01-31T00:00:00Z',
  )
  .transform((text, ctx) => {
    const ms = Date.parse(text);
    // Date.parse takes 30 February for 2 March, and 24:00 for the next day: only what it would
    // write in the same way is a date that every reader takes for the same.
    const isDate = !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 19));
    if (!isDate) ctx.addIssue({ code: 'custom', message: 'not a calendar date' });
    return ms;
  });

/** Canonical base64 of 1 to `bytesMax` bytes. Output: the bytes. */
export function base64Schema(bytesMax: number) {
  return z.string().transform((text, ctx) => {
    const bytes = text.length <= Math.ceil(bytesMax / 3) * 4 ? base64ToBytes(text) : null;
    if (bytes && bytes.byteLength > 0 && bytes.byteLength <= bytesMax) return bytes;
    ctx.addIssue({ code: 'custom', message: `want base64 of at most ${bytesMax} bytes` });
    return z.NEVER;
  });
}
