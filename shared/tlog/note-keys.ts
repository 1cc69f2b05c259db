/**
 * Keys that sign notes: a log by Ed25519 over the text, a witness by a cosignature that has its
 * time in it (C2SP signed-note, tlog-cosignature). Sans-I/O.
 */

import {
  base64ToBytes,
  bytesToBase64,
  bytesToHex,
  concatBytes,
  hexToBytes,
  utf8,
} from '../crypto/bytes.ts';
import {
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  signatureIsValid,
  type PublicKeyHex,
  type Signer,
} from '../crypto/ed25519.ts';
import { sha256 } from '../crypto/hash.ts';
import { isKeyName, noteInvalid, type Note, type NoteSignature } from './note.ts';

/** `log`: Ed25519 over the note. `witness`: a cosignature, which no other text can be taken for. */
export type NoteRole = 'log' | 'witness';

const TYPES: Readonly<Record<NoteRole, number>> = { log: 0x01, witness: 0x04 };

export interface Verifier {
  readonly role: NoteRole;
  readonly name: string;
  readonly publicKey: PublicKeyHex;
  /** 8 hex digits: a label, never a proof. */
  readonly keyId: string;
}

/** [P-14.3] @throws DroverError LOG_NOTE_INVALID for a name that no line could hold */
export function verifierOf(role: NoteRole, name: string, publicKey: PublicKeyHex): Verifier {
  if (!isKeyName(name)) {
    throw noteInvalid('a key name has 1 to 255 characters, without spaces and plus signs');
  }
  const keyId = bytesToHex(sha256(concatBytes(utf8(`${name}\n`), material(role, publicKey))));
  return { role, name, publicKey, keyId: keyId.slice(0, 8) };
}

const material = (role: NoteRole, publicKey: PublicKeyHex): Uint8Array =>
  concatBytes(new Uint8Array([TYPES[role]]), hexToBytes(publicKey) ?? new Uint8Array());

/** `name+keyid+base64`: a line of a policy. */
export const formatVerifier = ({ role, name, publicKey, keyId }: Verifier): string =>
  `${name}+${keyId}+${bytesToBase64(material(role, publicKey))}`;

/** @throws DroverError LOG_NOTE_INVALID */
export function parseVerifier(text: string, role: NoteRole): Verifier {
  const [, name = '', keyId, base64 = ''] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? [];
  const bytes = base64ToBytes(base64);
  if (bytes === null) throw noteInvalid('a key has the form NAME+KEYID+BASE64');
  const [type] = bytes;
  if (type !== TYPES[role] || bytes.byteLength !== 1 + PUBLIC_KEY_BYTES) {
    const want = `want type ${TYPES[role]}, Ed25519`;
    throw noteInvalid(`the key of ${name} is of another kind than a ${role} has here (${want})`);
  }
  const verifier = verifierOf(role, name, bytesToHex(bytes.subarray(1)));
  if (verifier.keyId === keyId) return verifier;
  throw noteInvalid(`the key id of ${name} is that of another key or name`);
}

const TIME_BYTES = 8;

/** The text that a witness signs: "as of this second, the largest tree that I know of this log". */
const cosigned = (text: string, seconds: bigint): Uint8Array =>
  utf8(`cosignature/v1\ntime ${seconds}\n${text}`);

/**
 * `fails`: a line says that this key signed, and it did not. Nothing of such a note is believed.
 * [P-14.3]
 */
export function signatureOf(note: Note, verifier: Verifier): 'holds' | 'absent' | 'fails' {
  const { name, keyId, publicKey } = verifier;
  const found = note.signatures.find((one) => one.name === name && one.keyId === keyId);
  if (found === undefined) return 'absent';
  const { bytes } = found;
  if (verifier.role === 'log') {
    return signatureIsValid(bytes, utf8(note.text), publicKey) ? 'holds' : 'fails';
  }
  if (bytes.byteLength !== TIME_BYTES + SIGNATURE_BYTES) return 'fails';
  const seconds = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);
  if (seconds >= 2n ** 63n) return 'fails';
  const signature = bytes.subarray(TIME_BYTES);
  return signatureIsValid(signature, cosigned(note.text, seconds), publicKey) ? 'holds' : 'fails';
}

/** @throws DroverError SIGN_COMMAND_FAILED */
export async function signNote(text: string, name: string, signer: Signer): Promise<NoteSignature> {
  const { keyId } = verifierOf('log', name, signer.publicKey);
  return { name, keyId, bytes: await signer.sign(utf8(text)) };
}

/** @param atMs of now @throws DroverError SIGN_COMMAND_FAILED */
export async function cosignNote(
  text: string,
  { name, signer, atMs }: { name: string; signer: Signer; atMs: number },
): Promise<NoteSignature> {
  const { keyId } = verifierOf('witness', name, signer.publicKey);
  const seconds = BigInt(Math.floor(atMs / 1000));
  const time = new Uint8Array(TIME_BYTES);
  new DataView(time.buffer).setBigUint64(0, seconds);
  return { name, keyId, bytes: concatBytes(time, await signer.sign(cosigned(text, seconds))) };
}
