/** External commands that sign with keys of their own: their output is never trusted. */

import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DroverError } from '../../shared/base/errors.ts';
import { bytesToHex, utf8 } from '../../shared/crypto/bytes.ts';
import { publicKeyOf, signatureIsValid } from '../../shared/crypto/ed25519.ts';
import { readSigners } from '../../shared/io/signers.ts';
import { fixedSeed } from '../helpers/fleet.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const KEY = fixedSeed(1);
const [MINE, OTHER] = [publicKeyOf(KEY), publicKeyOf(fixedSeed(2))];
const MESSAGE = utf8('a message');
/** PKCS#8 of an Ed25519 seed. */
const PEM = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(`302e020100300506032b657004220420${bytesToHex(KEY)}`, 'hex').toString('base64')}\n-----END PRIVATE KEY-----\n`;

const open = async (command: string, candidates: readonly string[], signMsMax = 20_000) =>
  (
    await readSigners(
      { files: [], commands: [], signCommands: [command], environment: undefined },
      { candidates, signMsMax },
      () => undefined,
    )
  )[0];

const refusalOf = async (run: Promise<unknown>): Promise<DroverError> => {
  const error = await run.then(
    () => null,
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof DroverError, String(error));
  return error;
};

/** The example for OpenSSL with this key; null when the test was skipped. */
async function openssl(t: TestContext): Promise<string | null> {
  if (requirePeer(t, 'openssl') === null) return null;
  const pem = join(await tempFolder(t), 'key.pem');
  await writeFile(pem, PEM, { mode: 0o600 });
  return `sh ${repositoryFile('examples/signing/openssl.sh')} ${pem}`;
}

test('a command signs, raw or in hex, and its key is found among those that are known', async (t) => {
  const command = await openssl(t);
  if (command === null) return;
  for (const words of [command, `${command} | od -An -tx1 | tr -d ' \\n' | tr a-f A-F`]) {
    const signer = await open(words, [OTHER, MINE]);
    assert.equal(signer?.publicKey, MINE);
    const signature = await signer.sign(MESSAGE);
    assert.ok(signatureIsValid(signature, MESSAGE, MINE));
  }
});

test('a command that signs with another key is refused, at the start or at its first signature', async (t) => {
  const command = await openssl(t);
  if (command === null) return;
  const none = await refusalOf(open(command, [OTHER, publicKeyOf(fixedSeed(3))]));
  assert.equal(none.code, 'SIGN_COMMAND_FAILED');
  assert.match(none.message, /none of the keys that are known here/);
  const named = await open(command, [OTHER]);
  const wrong = await refusalOf(named?.sign(MESSAGE) ?? Promise.resolve());
  assert.equal(wrong.code, 'SIGN_COMMAND_FAILED');
  assert.match(wrong.message, /no signature of key/);
});

test('a command that prints something else, too much or nothing, or hangs, fails with its reason', async () => {
  const bad: [string, RegExp][] = [
    ['cat >/dev/null; exit 3', /exit code 3/],
    ['cat >/dev/null', /got 0 bytes, want 64 raw bytes or 128 hex digits/],
    ['true', /got 0 bytes/], // it does not read the message either
    ['head -c 64 /dev/zero', /no signature of key/],
    ['head -c 65 /dev/zero', /got 65 bytes/],
    ['cat /dev/zero', /more than 4096 bytes/],
    ['/nowhere/at-all 2>/dev/null', /exit code 127/],
  ];
  for (const [command, words] of bad) {
    const signer = await open(command, [MINE]);
    const error = await refusalOf(signer?.sign(new Uint8Array(1_000_000)) ?? Promise.resolve());
    assert.equal(error.code, 'SIGN_COMMAND_FAILED', command);
    assert.match(error.message, words, command);
  }
  const slow = await open('sleep 30', [MINE], 200);
  const late = await refusalOf(slow?.sign(MESSAGE) ?? Promise.resolve());
  assert.match(late.message, /more than 0.2 s/);
});

test('without a public key that it may have, a command is not run at all', async (t) => {
  const mark = join(await tempFolder(t), 'ran');
  const error = await refusalOf(open(`touch ${mark}`, []));
  assert.equal(error.code, 'USAGE');
  assert.match(error.hint, /--public-key/);
  await assert.rejects(stat(mark), {
    code: 'ENOENT',
  });
});
