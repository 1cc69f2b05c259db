/**
 * Reads a public key in the formats of the tools that hold the private one: 64 hex digits from
 * `drover keygen`, PEM from OpenSSL or a PKCS#11 token, a line from OpenSSH. Sans-I/O.
 */

import { bytesToHex } from '../crypto/bytes.ts';
import {
  PUBLIC_KEY_BYTES,
  PUBLIC_KEY_PATTERN,
  SEED_BYTES,
  type PublicKeyHex,
} from '../crypto/ed25519.ts';
import { DroverError } from '../base/errors.ts';

const PEM = /^-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----$/;
const OPENSSH = /^ssh-ed25519 ([A-Za-z0-9+/=]+)(?: .*)?$/;
/** SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410). */
const PEM_HEAD = Buffer.from('302a300506032b6570032100', 'hex');
/** `string "ssh-ed25519"`, and the length of the key (RFC 8709). */
const OPENSSH_HEAD = Buffer.from('0000000b7373682d6564323535313900000020', 'hex');

/** @throws DroverError USAGE, KEY_WRONG_KIND */
export function parsePublicKey(bytes: Uint8Array, path: string): PublicKeyHex {
  const text = Buffer.from(bytes).toString('latin1').trim();
  if (PUBLIC_KEY_PATTERN.test(text.toLowerCase())) return text.toLowerCase();
  const pem = PEM.exec(text)?.[1];
  if (pem !== undefined) return keyAfter(PEM_HEAD, pem, path);
  const openssh = OPENSSH.exec(text)?.[1];
  if (openssh !== undefined) return keyAfter(OPENSSH_HEAD, openssh, path);
  const isSeed = bytes.byteLength === SEED_BYTES || text.includes('PRIVATE KEY-----');
  throw new DroverError(
    'USAGE',
    isSeed
      ? `read public key ${path}: this is a private key`
      : `read public key ${path}: neither 64 hex digits, PEM nor OpenSSH (got ${bytes.byteLength} bytes)`,
    { hint: 'give the .pub file that drover keygen wrote beside the .key' },
  );
}

function keyAfter(head: Buffer, base64: string, path: string): PublicKeyHex {
  const bytes = Buffer.from(base64, 'base64');
  const key = bytes.subarray(head.byteLength);
  const isEd25519 = bytes.subarray(0, head.byteLength).equals(head);
  if (isEd25519 && key.byteLength === PUBLIC_KEY_BYTES) return bytesToHex(key);
  throw new DroverError('KEY_WRONG_KIND', `read public key ${path}: no Ed25519 key`);
}
