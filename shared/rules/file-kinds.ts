/**
 * Recognises the kind of one of our files by its first bytes, for an operator who gave a command
 * the wrong file: an error about envelopes and characters would not help. It is used only for
 * messages. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { PUBLIC_KEY_PATTERN, SEED_BYTES } from '../crypto/ed25519.ts';
import { PAYLOAD_TYPES } from '../formats/envelope.ts';

export type FileKind =
  | 'trust.json'
  | 'update of trust.json'
  | 'announcement file'
  | 'report of a site'
  | 'signed document of another kind'
  | 'manifest.json of a bundle'
  | 'public key'
  | 'private key'
  | 'certificate'
  | 'archive';

const PEM = /^-----BEGIN ([A-Z0-9 ]+)-----/;
const AGE = 'age-encryption.org/';
const TAR_MARK_AT = 257;

/** Null for what is none of ours, or damaged. */
export function fileKindOf(bytes: Uint8Array): FileKind | null {
  if (bytes.byteLength === SEED_BYTES) return 'private key';
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 512));
  const pem = PEM.exec(head)?.[1];
  if (pem?.endsWith('PRIVATE KEY')) return 'private key';
  if (pem === 'CERTIFICATE') return 'certificate';
  if (pem === 'PUBLIC KEY' || head.startsWith('ssh-ed25519 ')) return 'public key';
  if (PUBLIC_KEY_PATTERN.test(head.trim().toLowerCase())) return 'public key';
  const isTar = head.startsWith('ustar', TAR_MARK_AT);
  if (isTar || head.startsWith('\u001f\u008b') || head.startsWith(AGE)) return 'archive';
  return head.trimStart().startsWith('{') ? kindOfJson(bytes) : null;
}

function kindOfJson(bytes: Uint8Array): FileKind | null {
  if (bytes.byteLength > LIMITS.announcementBytesMax * 4) return null; // longer than any of them
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(new TextDecoder().decode(bytes)) as typeof fields;
  } catch {
    return null; // no document at all
  }
  if ('payloadType' in fields) return kindOfEnvelope(fields['payloadType']);
  if (fields['kind'] === 'drover-announcement') return 'announcement file';
  if ('roles' in fields && 'fleet' in fields) return 'trust.json';
  return 'payload_sha256' in fields ? 'manifest.json of a bundle' : null;
}

function kindOfEnvelope(type: unknown): FileKind {
  if (type === PAYLOAD_TYPES.trust) return 'update of trust.json';
  return type === PAYLOAD_TYPES.report ? 'report of a site' : 'signed document of another kind';
}

export interface WantedFile {
  readonly kind: FileKind;
  readonly path: string;
  /** Says which file to name instead, given what this one is. */
  hint(got: FileKind | null): string;
}

/**
 * Reads a file that the operator named; errors contain its path.
 * @throws DroverError with the code of `parse`
 */
export function parseNamed<T>(
  { kind, path, hint }: WantedFile,
  bytes: Uint8Array,
  parse: (bytes: Uint8Array) => T,
): T {
  try {
    return parse(bytes);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    const got = fileKindOf(bytes);
    const isRight = got === kind;
    const why = isRight || got === null ? cause.message : `it is a ${got}, want a ${kind}`;
    throw new DroverError(cause.code, `read ${path}: ${why.replace(/\ba (?=[aeiou])/g, 'an ')}`, {
      cause,
      facts: cause.facts,
      hint: isRight ? cause.hint : hint(got),
    });
  }
}
