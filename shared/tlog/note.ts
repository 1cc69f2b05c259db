/**
 * Signed notes (C2SP signed-note): a text, an empty line, and a line for each signature. Read
 * strictly, so that one note has one spelling. Sans-I/O.
 */

import { base64ToBytes, bytesToBase64, bytesToHex, concatBytes, utf8 } from '../crypto/bytes.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

export interface NoteSignature {
  readonly name: string;
  /** 8 hex digits. */
  readonly keyId: string;
  /** The bytes behind the key id; their form depends on the algorithm of the key. */
  readonly bytes: Uint8Array;
}

export interface Note {
  /** With its last line feed: what is signed. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

const KEY_ID_BYTES = 4;
const DASH = '\u2014';
// Unicode spaces, plus signs and control characters would make a line ambiguous.
const KEY_NAME = /^[^\p{White_Space}\p{Cc}+]{1,255}$/u;

/** @throws DroverError LOG_NOTE_INVALID */
export const noteInvalid = (why: string): DroverError =>
  new DroverError('LOG_NOTE_INVALID', `read signed note: ${why}`);

export const isKeyName = (text: string): boolean => KEY_NAME.test(text);

/** UTF-8 without a byte order mark and without control characters but the line feed. */
export function noteText(bytes: Uint8Array, bytesMax: number): string {
  if (bytes.byteLength > bytesMax) {
    throw noteInvalid(`too large (got ${bytes.byteLength} bytes, want at most ${bytesMax})`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw noteInvalid('it is not UTF-8');
  }
  assertPlain(text);
  return text;
}

function assertPlain(text: string): void {
  for (const char of text) {
    if (char < ' ' && char !== '\n') throw noteInvalid('it holds a control character');
  }
}

/** @throws DroverError LOG_NOTE_INVALID */
export function parseNote(whole: string): Note {
  if (utf8(whole).byteLength > LIMITS.logNoteBytesMax) throw noteInvalid('too large');
  assertPlain(whole);
  const end = whole.lastIndexOf('\n\n');
  if (end <= 0) throw noteInvalid('there is no empty line before signatures');
  const [text, rest] = [whole.slice(0, end + 1), whole.slice(end + 2)];
  if (!rest.endsWith('\n')) throw noteInvalid('its last line has no end');
  const lines = rest.slice(0, -1).split('\n');
  if (lines.length > LIMITS.logSignaturesMax) throw noteInvalid('too many signatures');
  const signatures = lines.map(parseLine);
  const keys = new Set(signatures.map(({ name, keyId }) => `${name} ${keyId}`));
  if (keys.size !== signatures.length) throw noteInvalid('one key signed it twice');
  return { text, signatures };
}

function parseLine(line: string): NoteSignature {
  const [dash, name = '', base64 = '', ...more] = line.split(' ');
  if (dash !== DASH || !isKeyName(name) || more.length > 0) {
    throw noteInvalid('a signature line has another form');
  }
  const bytes = base64ToBytes(base64);
  if (bytes === null || bytes.byteLength <= KEY_ID_BYTES) {
    throw noteInvalid('a signature is no base64, or too short');
  }
  const keyId = bytesToHex(bytes.subarray(0, KEY_ID_BYTES));
  return { name, keyId, bytes: bytes.slice(KEY_ID_BYTES) };
}

export function formatNote({ text, signatures }: Note): string {
  const lines = signatures.map(({ name, keyId, bytes }) => {
    const id = new Uint8Array(Buffer.from(keyId, 'hex'));
    return `${DASH} ${name} ${bytesToBase64(concatBytes(id, bytes))}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/** The note with this signature in the place of an earlier one of its key, or behind the others. */
export function withSignature({ text, signatures }: Note, added: NoteSignature): Note {
  const others = signatures.filter(
    ({ name, keyId }) => name !== added.name || keyId !== added.keyId,
  );
  return { text, signatures: [...others, added] };
}
