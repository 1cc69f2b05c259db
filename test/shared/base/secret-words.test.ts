/** A secret that was typed in the wrong place is in no message, however the message was made. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it, test } from 'node:test';
import { printable } from '../../../shared/base/printable.ts';
import { withoutSecrets } from '../../../shared/base/secret-words.ts';
import { bytesToHex } from '../../../shared/crypto/bytes.ts';
import { newSeed } from '../../../shared/io/key-file.ts';
import { startDrover } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const BECH32 = 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L';
const seed = fc.uint8Array({ minLength: 32, maxLength: 32 });
const hasAll = (text: string): boolean => [/[A-Z]/, /[a-z]/, /\d/].every((one) => one.test(text));
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const pkcs8 = (bytes: Uint8Array): string =>
  `-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI${base64(bytes)}\n-----END PRIVATE KEY-----\n`;

const secrets = fc.oneof(
  seed.map((bytes) => `AGE-SECRET-KEY-1${[...bytes].map((one) => BECH32[one % 32]).join('')}`),
  seed.map((bytes) => `# made today\nAGE-SECRET-KEY-1${bytesToHex(bytes).toUpperCase()}`),
  seed.map(bytesToHex),
  seed.map((bytes) => bytesToHex(bytes).toUpperCase()),
  seed.map(base64).filter(hasAll),
  seed.map((bytes) => Buffer.from(bytes).toString('base64url')).filter(hasAll),
  seed.map(pkcs8),
);

/** As messages of ours quote a word. */
const quotes: readonly ((word: string) => string)[] = [
  (word) => `read key ${word}: ENOENT: no such file or directory, open '${word}'`,
  (word) => `unknown command: ${word.slice(0, 80)}`,
  (word) => `read --to: not a recipient (got ${printable(word.slice(0, 80))}, want age1…)`,
  (word) => `name ${printable(word)} is too long`,
  (word) => `unknown argument: ${word.slice(0, 20)}…`,
];

const given: readonly ((word: string) => string[])[] = [
  (word) => ['sign', 'b', '--key', word],
  (word) => ['sign', 'b', `--key=${word}`],
  (word) => ['export', word],
];

describe('a message about a word that looks like a secret', () => {
  it('holds no 12 characters of it', () => {
    const one = fc.tuple(secrets, fc.constantFrom(...quotes), fc.constantFrom(...given));
    fc.assert(
      fc.property(one, ([secret, quote, words]) => {
        const problem = { code: 'USAGE', message: quote(secret), hint: quote(secret) } as const;
        const shown = withoutSecrets(problem, words(secret));
        const text = `${shown.message} ${shown.hint}`;
        const body = secret.replace(/^[^]*AGE-SECRET-KEY-1|-----[A-Z ]+-----/g, '').trim();
        for (let at = 0; at + 12 <= body.length; at += 1) {
          assert.equal(text.includes(body.slice(at, at + 12)), false, text);
        }
        assert.match(text, /what looks like/);
      }),
    );
  });

  it('shows the public hash that the failure is about, with its own hint, and still no other', () => {
    const [hash, key] = ['5a'.repeat(32), bytesToHex(newSeed())];
    const words = ['audit', 'verify', 'f', '--head', hash, `--after=${hash}`, '--key', key];
    const cut = {
      code: 'AUDIT_CUT',
      message: `no entry has ${hash}`,
      hint: 'export again',
    } as const;
    assert.deepEqual(withoutSecrets(cut, words, hash), cut);
    const both = { ...cut, message: `${cut.message} ${key}` };
    assert.equal(
      withoutSecrets(both, words, hash).message,
      `${cut.message} (what looks like a key of 64 hex digits)`,
    );
  });

  it('is left alone when the words are paths, names, hosts and versions', () => {
    for (const word of ['/srv/fleet/keys/release.key', 'mqtt://host:1883', 'app-1-4-2-k3f9']) {
      const problem = { code: 'USAGE', message: `read ${word}: no`, hint: 'look' } as const;
      assert.deepEqual(withoutSecrets(problem, ['sign', word]), problem);
    }
  });
});

test('no program repeats a secret, on standard error or in JSON', async (t) => {
  const cwd = await tempFolder(t);
  const hex = bytesToHex(newSeed());
  const age = `AGE-SECRET-KEY-1${'QPZRY9X8'.repeat(7)}GF`;
  for (const secret of [hex, age]) {
    for (const [program, words] of [
      ['publisher', ['sign', 'b', '--key', secret]],
      ['publisher', ['export', 'b', '--trust', secret, '--to', secret, '--out', 'f']],
      ['publisher', ['inspect', secret]],
      ['publisher', [secret]],
      ['publisher', ['fleet', secret]],
      ['publisher', ['import', 'f', '--trust', secret, '--broker', 'mqtt://h']],
      ['broker', ['--trust', secret, '--data', 'd']],
      ['robot-client', ['--id', 'r', '--trust', secret, '--broker', 'mqtt://h', '--root', 'r']],
    ] as const) {
      const child = startDrover(t, program, [...words, '--json'], { cwd });
      await child.exit;
      const text = child.stdout + child.stderr;
      assert.equal(text.includes(secret), false, text);
      assert.match(text, /looks like/, text);
    }
  }
});
