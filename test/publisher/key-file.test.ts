/** Keys come from files, the environment or a command, and are never overwritten or misread. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  newSeed,
  readPemSeed,
  readSeeds,
  writeKeyPair,
  type KeySources,
} from '../../shared/io/key-file.ts';
import { bytesToHex, utf8 } from '../../shared/crypto/bytes.ts';
import { publicKeyOf, signBytes } from '../../shared/crypto/ed25519.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { requirePeer } from '../helpers/peer.ts';
import { assertRefused } from '../helpers/refusal.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const warnings: string[] = [];
const read = (sources: Partial<KeySources>) =>
  readSeeds({ files: [], commands: [], environment: undefined, ...sources }, (line) =>
    warnings.push(line),
  );

async function refusalOf(run: Promise<unknown>): Promise<DroverError> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof DroverError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'not refused' });
}

function pem(kind: 'ed25519' | 'x25519' | 'ed448'): string {
  const { privateKey } = generateKeyPairSync(kind as 'ed25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

test('a new key pair is 32 raw bytes for its owner alone, and 64 hex digits for everybody', async (t) => {
  const folder = await tempFolder(t);
  const seed = newSeed();
  const publicKey = await writeKeyPair(join(folder, 'keys', 'release'), seed);
  const path = join(folder, 'keys', 'release.key');
  assert.deepEqual(new Uint8Array(await readFile(path)), seed);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal(await readFile(join(folder, 'keys', 'release.pub'), 'utf8'), `${publicKey}\n`);
  assert.equal(publicKey, publicKeyOf(seed));
});

test('neither half of an existing pair is overwritten, and no half pair stays behind', async (t) => {
  const folder = await tempFolder(t);
  for (const name of ['a.key', 'b.pub']) await writeFile(join(folder, name), 'precious');
  for (const name of ['a', 'b', 'a.key']) {
    const error = await refusalOf(writeKeyPair(join(folder, name), newSeed()));
    assert.equal(error.code, 'FILE_EXISTS');
  }
  assert.equal(await readFile(join(folder, 'a.key'), 'utf8'), 'precious');
  assert.equal(await readFile(join(folder, 'b.pub'), 'utf8'), 'precious');
  await assert.rejects(stat(join(folder, 'a.pub')));
  await assert.rejects(stat(join(folder, 'b.key')));
});

test('a PEM is refused with an openssl command that yields exactly our seed', async (t) => {
  if (requirePeer(t, 'openssl') === null) return;
  const folder = await tempFolder(t);
  for (const name of ['release.pem', "odd name's.pem"]) {
    const path = join(folder, name);
    execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', path]);
    const error = await refusalOf(read({ files: [path] }));
    assert.equal(error.code, 'KEY_IS_PEM');
    const command = /^convert it: (.*?), or drover keygen --from-pem /.exec(error.hint)?.[1];
    assert.ok(command, error.hint);
    execFileSync('sh', ['-c', command], { cwd: folder });
    const raw = path.replace(/\.pem$/, '.raw');
    await chmod(raw, 0o600);
    const [seed] = await read({ files: [raw] });
    assert.ok(seed);
    assert.deepEqual(seed, readPemSeed(path), 'keygen --from-pem and openssl agree');
    const message = utf8('the very same key');
    const theirs = sign(null, message, createPrivateKey(await readFile(path, 'utf8')));
    assert.deepEqual(Buffer.from(signBytes(message, seed)), theirs);
  }
});

test('a PEM of another kind of key is refused by its kind, with no command that would misread it', async (t) => {
  const folder = await tempFolder(t);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const keys = {
    rsa: rsa.export({ type: 'pkcs8', format: 'pem' }),
    x25519: pem('x25519'),
    ed448: pem('ed448'),
  };
  for (const [kind, text] of Object.entries(keys)) {
    const path = join(folder, `${kind}.pem`);
    await writeFile(path, text);
    const error = await refusalOf(read({ files: [path] }));
    assert.equal(error.code, 'KEY_WRONG_KIND');
    assert.match(error.message, new RegExp(`got ${kind}, want ed25519`));
    assert.doesNotMatch(error.hint, /tail/);
    assertRefused('KEY_WRONG_KIND', () => readPemSeed(path));
  }
});

test('a public, encrypted or broken PEM cannot become a key', async (t) => {
  const folder = await tempFolder(t);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const locked = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  const texts = {
    public: publicKey.export({ type: 'spki', format: 'pem' }),
    encrypted: privateKey.export(locked),
    broken: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
    none: 'hello',
  };
  for (const [name, text] of Object.entries(texts)) {
    await writeFile(join(folder, name), text);
    assertRefused('KEY_WRONG_KIND', () => readPemSeed(join(folder, name)));
  }
});

test('a key file of any other length is refused, hex above all', async (t) => {
  const folder = await tempFolder(t);
  const path = join(folder, 'k');
  const seed = newSeed();
  for (const bytes of ['', seed.subarray(1), bytesToHex(seed), `${publicKeyOf(seed)}\n`]) {
    await writeFile(path, bytes, { mode: 0o600 });
    assert.equal((await refusalOf(read({ files: [path] }))).code, 'KEY_BAD_LENGTH');
  }
});

test('a key that others may read is used with a warning', async (t) => {
  const folder = await tempFolder(t);
  const path = join(folder, 'k');
  await writeFile(path, newSeed());
  await chmod(path, 0o600);
  warnings.length = 0;
  await read({ files: [path] });
  assert.deepEqual(warnings, []);
  await chmod(path, 0o640);
  await read({ files: [path] });
  assert.match(warnings.join(), /mode 640.*chmod 600/);
});

test('the environment is asked only when nothing else is given, and takes 64 hex digits', async (t) => {
  const folder = await tempFolder(t);
  const [a, b] = [newSeed(), newSeed()];
  await writeFile(join(folder, 'a.key'), a, { mode: 0o600 });
  const environment = `${bytesToHex(b)}\n`;
  assert.deepEqual(await read({ environment }), [b]);
  assert.deepEqual(await read({ environment, files: [join(folder, 'a.key')] }), [a]);
  const cases: [string | undefined, ErrorCode][] = [
    [undefined, 'KEY_MISSING'],
    ['', 'KEY_MISSING'],
    ['abc', 'KEY_BAD_LENGTH'],
    [pem('ed25519'), 'KEY_IS_PEM'],
  ];
  for (const [text, code] of cases) {
    const error = await refusalOf(read({ environment: text }));
    assert.equal(error.code, code);
  }
});

test('a command may print the seed raw or in hex, and nothing else', async (t) => {
  const folder = await tempFolder(t);
  const seed = newSeed();
  const path = join(folder, 'secret.key');
  await writeFile(path, seed, { mode: 0o600 });
  assert.deepEqual(await read({ commands: [`cat ${path}`] }), [seed]);
  assert.deepEqual(await read({ commands: [`echo ${bytesToHex(seed).toUpperCase()}`] }), [seed]);
  const bad: [string, RegExp][] = [
    ['exit 3', /exit code 3/],
    ['true', /got 0 bytes/],
    [`cat ${path}; exit 1`, /exit code 1/],
    ['head -c 33 /dev/zero', /got 33 bytes/],
    ['cat /dev/zero', /more than 4096 bytes/],
    ['/nowhere/at-all 2>/dev/null', /exit code 127/],
  ];
  for (const [command, words] of bad) {
    const error = await refusalOf(read({ commands: [command] }));
    assert.equal(error.code, 'KEY_COMMAND_FAILED', command);
    assert.match(error.message, words, command);
  }
});

test('no message about a key holds the key', async (t) => {
  const folder = await tempFolder(t);
  const secret = bytesToHex(newSeed()).slice(0, 60);
  const path = join(folder, 'k');
  await writeFile(path, secret);
  const errors = await Promise.all([
    refusalOf(read({ files: [path] })),
    refusalOf(read({ environment: secret })),
    refusalOf(read({ commands: [`echo ${secret} # not told`] })),
  ]);
  for (const { message, hint } of errors) assert.ok(!`${message}${hint}`.includes(secret));
});
