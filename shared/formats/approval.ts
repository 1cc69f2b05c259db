/**
 * A command that opens a wave, signed by the key of the user who gives it: `rollout approve`, or
 * `rollout force-open`. The document names everything that the command is about, so that a copy of
 * it is worth nothing for another fleet, rollout, release, wave or user, nor for the same wave of a
 * rollout that began again. A password alone cannot make one. Sans-I/O.
 */

import { z } from 'zod';
import { instantText } from '../base/durations.ts';
import { DroverError } from '../base/errors.ts';
import type { EpochMs } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { utf8 } from '../crypto/bytes.ts';
import { keyIdOf, type PublicKeyHex, type Signer } from '../crypto/ed25519.ts';
import { openEnvelope, PAYLOAD_TYPES, peekEnvelope, signEnvelope } from './envelope.ts';
import { idSchema, instantSchema, parseDocument, rolloutIdSchema, sha256Schema } from './schema.ts';

/** Commands that open a wave: a user with a key signs them. */
export const SIGNED_COMMANDS = ['approve', 'force-open'] as const;

/** [P-6.13] Strict: a field that is not checked here would be signed and mean nothing. */
const approvalSchema = z.strictObject({
  fleet: idSchema,
  command: z.enum(SIGNED_COMMANDS),
  rollout: rolloutIdSchema,
  /** SHA-256 of the manifest: an id may have been that of another release. */
  release: sha256Schema,
  wave: z.number().int().min(0).max(LIMITS.wavesMax),
  /** When this wave opened. */
  opened_at: instantSchema,
  user: idSchema,
  issued_at: instantSchema,
  expires_at: instantSchema,
});

export type SignedApproval = z.output<typeof approvalSchema>;
/** Everything that an approval is about; all of it has to fit. */
export type ApprovalSubject = Omit<SignedApproval, 'issued_at' | 'expires_at'>;

const KIND = {
  what: 'signed approval',
  schema: approvalSchema,
  bytesMax: LIMITS.approvalBytesMax,
  code: 'APPROVAL_INVALID',
} as const;

/** @throws DroverError SIGN_COMMAND_FAILED, APPROVAL_INVALID */
export async function signApproval(
  subject: ApprovalSubject,
  signer: Signer,
  now: EpochMs,
): Promise<string> {
  const fields = {
    ...subject,
    opened_at: new Date(subject.opened_at).toISOString(),
    issued_at: new Date(now).toISOString(),
    expires_at: new Date(now + LIMITS.approvalLifeMs).toISOString(),
  };
  const payload = utf8(JSON.stringify(fields));
  parseDocument(KIND, payload);
  return new TextDecoder().decode(await signEnvelope(PAYLOAD_TYPES.approval, payload, [signer]));
}

/** Bytes that it takes as a text in JSON. */
const bytesInJson = (text: string): number => utf8(JSON.stringify(text)).byteLength;

/**
 * The content, once the signature of this key was checked.
 * @throws DroverError APPROVAL_INVALID, APPROVAL_KEY_WRONG
 */
export function openApproval(text: string, key: PublicKeyHex): SignedApproval {
  if (bytesInJson(text) > LIMITS.approvalBytesMax) {
    const want = `want at most ${LIMITS.approvalBytesMax} bytes`;
    throw new DroverError('APPROVAL_INVALID', `open signed approval: too large (${want})`);
  }
  try {
    const role = { keys: [key], threshold: 1 };
    return parseDocument(KIND, openEnvelope(utf8(text), PAYLOAD_TYPES.approval, role));
  } catch (cause) {
    if (!(cause instanceof DroverError) || cause.code === 'APPROVAL_INVALID') throw cause;
    const isOther = cause.code === 'ENVELOPE_KEY_UNKNOWN';
    const why = isOther ? `it is not signed by key ${keyIdOf(key)}` : cause.message;
    const code = isOther ? 'APPROVAL_KEY_WRONG' : 'APPROVAL_INVALID';
    throw new DroverError(code, `open signed approval: ${why}`, { cause });
  }
}

/** The content with the signature NOT checked: to find the one that is meant, never to act. */
export const peekApproval = (text: string): SignedApproval =>
  parseDocument(KIND, peekEnvelope(utf8(text)));

const SUBJECT = ['fleet', 'rollout', 'release', 'wave', 'opened_at', 'user', 'command'] as const;

const shown = (field: (typeof SUBJECT)[number], subject: ApprovalSubject): string =>
  field === 'opened_at' ? new Date(subject.opened_at).toISOString() : String(subject[field]);

/**
 * Refuses an approval of anything else than this, and one that is not of this hour.
 * @throws DroverError APPROVAL_OF_ANOTHER, APPROVAL_CLOCK
 */
export function assertApproves(said: SignedApproval, want: ApprovalSubject, now: EpochMs): void {
  const wrong = SUBJECT.find((field) => said[field] !== want[field]);
  if (wrong !== undefined) {
    const differs = `${wrong} differs (got ${shown(wrong, said)}, want ${shown(wrong, want)})`;
    throw new DroverError('APPROVAL_OF_ANOTHER', `check signed approval: ${differs}`);
  }
  const refuse = (why: string): never => {
    throw new DroverError('APPROVAL_CLOCK', `check signed approval: ${why}`);
  };
  const { issued_at: issued, expires_at: expires } = said;
  const here = `it is ${instantText(now)} here`;
  if (issued > now + LIMITS.aheadMsMax) refuse(`signed at ${instantText(issued)}, ${here}`);
  if (now >= expires) refuse(`it ended at ${instantText(expires)}, ${here}`);
  const hour = `want at most ${LIMITS.approvalLifeMs / 60_000} minutes`;
  if (expires - issued > LIMITS.approvalLifeMs) refuse(`it is good for too long (${hour})`);
}
