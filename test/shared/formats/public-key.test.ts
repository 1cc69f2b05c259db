/** Public keys in the spelling of each tool that holds a private one. */

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { parsePublicKey } from '../../../shared/formats/public-key.ts';
import { bytesToHex, hexToBytes, utf8 } from '../../../shared/crypto/bytes.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const { publicKey } = generateKeyPairSync('ed25519');
const HEX = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex');
const parse = (text: string) => parsePublicKey(utf8(text), 'a.pub');
const pemOf = (kind: 'ed25519' | 'x25519') =>
  generateKeyPairSync(kind as 'ed25519').publicKey.export({ type: 'spki', format: 'pem' });

/** As `ssh-keygen` writes it. */
function openssh(kind: string, key: Uint8Array): string {
  const string = (bytes: Uint8Array) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.byteLength);
    return Buffer.concat([length, bytes]);
  };
  const blob = Buffer.concat([string(utf8(kind)), string(key)]);
  return `ssh-ed25519 ${blob.toString('base64')}`;
}

test('one key is the same key in hex, in PEM and as a line of OpenSSH', () => {
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const line = openssh('ssh-ed25519', hexToBytes(HEX) ?? new Uint8Array());
  for (const text of [HEX, `${HEX.toUpperCase()}\n`, pem, pem.replaceAll('\n', '\r\n')]) {
    assert.equal(parse(text), HEX);
  }
  for (const text of [line, `${line} somebody at a desk\n`]) assert.equal(parse(text), HEX);
});

test('a key of another kind or length, and a private key, are refused as what they are', () => {
  const short = openssh('ssh-ed25519', new Uint8Array(31));
  for (const text of [pemOf('x25519').toString(), openssh('ssh-ed448', fixedSeed(1)), short]) {
    assertRefused('KEY_WRONG_KIND', () => parse(text));
  }
  const { privateKey } = generateKeyPairSync('ed25519');
  const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  assertRefused('USAGE', () => parse(secret), /this is a private key/);
  assertRefused('USAGE', () => parsePublicKey(fixedSeed(1), 'a.pub'), /this is a private key/);
  for (const text of ['', 'abc', bytesToHex(new Uint8Array(33)), 'ssh-rsa AAAA', '{}']) {
    assertRefused('USAGE', () => parse(text), /neither 64 hex digits, PEM nor OpenSSH/);
  }
});
