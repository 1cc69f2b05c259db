/** The command line as people and scripts meet it: real processes, exit codes, hints, JSON. */

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { parseTrust } from '../../shared/formats/trust.ts';
import { startDrover, type Child, type ChildOptions } from '../helpers/child.ts';
import { NOBODY_PORT } from '../helpers/free-port.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { makeBundleFolder, writeFleetFiles } from './bundle-maker.ts';

async function drover(t: TestContext, line: string, options: ChildOptions = {}): Promise<Child> {
  const env = { DROVER_KEY: undefined, ...options.env };
  const child = startDrover(t, 'publisher', line.split(' '), { ...options, env });
  await child.exit;
  return child;
}

async function ok(t: TestContext, line: string, options: ChildOptions = {}): Promise<string> {
  const child = await drover(t, line, options);
  assert.deepEqual(child.ended, { code: 0, signal: null }, child.describe());
  return child.stdout;
}

async function refused(
  t: TestContext,
  line: string,
  want: { exit: number; code: string; words?: RegExp },
  options: ChildOptions = {},
): Promise<Child> {
  const child = await drover(t, line, options);
  assert.equal(child.ended?.code, want.exit, child.describe());
  assert.match(child.stderr, new RegExp(`^drover: error: .* \\(${want.code}\\)$`, 'm'));
  assert.match(child.stderr, /^drover: hint: \S/m);
  assert.match(child.stderr, want.words ?? /./);
  assert.doesNotMatch(child.stderr, /^\s+at /m, 'no trace');
  return child;
}

async function folderWithFile(folder: string): Promise<string> {
  await mkdir(folder);
  await writeFile(join(folder, 'main.js'), 'console.log(1)\n');
  return folder;
}

describe('the command line', { concurrency: 2 }, () => {
  test('a release engineer goes from nothing to a verified bundle file', async (t) => {
    const cwd = await tempFolder(t);
    await writeFile(join(cwd, 'run.sh'), '#!/bin/sh\n');
    await ok(t, 'keygen --out keys/release', { cwd });
    await ok(t, 'keygen --out keys/rollout', { cwd });
    const said = await ok(
      t,
      'trust init --release keys/release.pub --rollout keys/rollout.pub --fleet lab --out trust.json',
      { cwd },
    );
    assert.match(said, /root: .*the release keys, since no --root was given/);
    const app = join(cwd, 'app');
    await ok(t, `build ${await folderWithFile(app)} --version 1.0.0 --arch any --out b/1.0.0`, {
      cwd,
    });
    await refused(
      t,
      'verify b/1.0.0 --trust trust.json',
      { exit: 3, code: 'BUNDLE_UNSIGNED' },
      { cwd },
    );
    await ok(t, 'sign b/1.0.0 --key keys/release.key', { cwd });
    await ok(t, 'verify b/1.0.0 --trust trust.json', { cwd });
    await ok(t, 'pack b/1.0.0 --out a.drover', { cwd });
    await ok(t, 'verify a.drover --trust trust.json', { cwd });
    const facts = JSON.parse(await ok(t, 'inspect a.drover --json', { cwd })) as {
      version: string;
    };
    assert.equal(facts.version, '1.0.0');
  });

  test('trust init writes what robots parse, with thresholds, and never over a file', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const line =
      'trust init --release release.pub --release stranger.pub --release-threshold 2 --rollout rollout.pub --root root.pub --fleet lab --expires 10d --out new.json';
    const dry = JSON.parse(await ok(t, `${line} --dry-run --json`, { cwd })) as {
      dry_run: boolean;
    };
    assert.equal(dry.dry_run, true);
    assert.equal(existsSync(join(cwd, 'new.json')), false);
    await ok(t, line, { cwd });
    const trust = parseTrust(await readFile(join(cwd, 'new.json')));
    assert.equal(trust.fleet, 'lab');
    assert.equal(trust.roles.release.threshold, 2);
    assert.equal(trust.roles.release.keys.length, 2);
    const days = (trust.expires - Date.now()) / 86_400_000;
    assert.ok(days > 9.9 && days <= 10, String(days));
    await refused(t, line, { exit: 2, code: 'FILE_EXISTS' }, { cwd });
  });

  test('trust init refuses what would not work, and warns of one key for two roles', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const cases: [string, RegExp][] = [
      ['--release release.key --rollout rollout.pub', /private key/],
      ['--release trust.json --rollout rollout.pub', /neither 64 hex digits, PEM nor OpenSSH/],
      ['--release release.pub --rollout rollout.pub --rollout-threshold 2', /threshold/],
      ['--release release.pub --release release.pub --rollout rollout.pub', /twice/],
      ['--release release.pub --rollout rollout.pub --expires 30', /number with a unit/],
    ];
    for (const [words, pattern] of cases) {
      const want = { exit: 2, code: 'USAGE', words: pattern };
      await refused(t, `trust init ${words} --out t.json`, want, { cwd });
    }
    const line = 'trust init --release release.pub --rollout release.pub --out same.json';
    const child = await drover(t, line, { cwd });
    assert.equal(child.ended?.code, 0);
    assert.match(child.stderr, /warning: one key is both release and rollout/);
  });

  test('a second release key co-signs, and the threshold counts keys', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const bundle = await makeBundleFolder(cwd);
    await ok(
      t,
      'trust init --release release.pub --release stranger.pub --release-threshold 2 --rollout rollout.pub --out two.json',
      { cwd },
    );
    const verify = `verify ${bundle} --trust two.json`;
    await refused(t, verify, { exit: 3, code: 'BUNDLE_SIGNATURES_TOO_FEW' }, { cwd });
    await ok(t, `sign ${bundle} --key release.key --add`, { cwd });
    await refused(t, verify, { exit: 3, code: 'BUNDLE_SIGNATURES_TOO_FEW' }, { cwd });
    await ok(t, `sign ${bundle} --key stranger.key --add`, { cwd });
    await ok(t, verify, { cwd });
    assert.equal((await stat(join(bundle, 'cosignatures.sig'))).size, 64);
    const afresh = `sign ${bundle} --key release.key`;
    await refused(t, afresh, { exit: 2, code: 'FILE_EXISTS' }, { cwd });
    await rm(join(bundle, 'signature.sig'));
    await ok(t, afresh, { cwd });
    assert.equal(existsSync(join(bundle, 'cosignatures.sig')), false, 'signed afresh');
  });

  test('sign refuses a payload that is not the one of the manifest', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const bundle = await makeBundleFolder(cwd);
    const path = join(bundle, 'payload.tar.gz');
    const payload = await readFile(path);
    payload[payload.byteLength - 9] = (payload.at(-9) as number) ^ 1;
    await writeFile(path, payload);
    const want = { exit: 3, code: 'PAYLOAD_HASH_MISMATCH', words: /got [0-9a-f]{12}, want/ };
    await refused(t, `sign ${bundle} --key release.key`, want, { cwd });
    await writeFile(path, payload.subarray(1));
    await refused(
      t,
      `sign ${bundle} --key release.key`,
      { exit: 3, code: 'PAYLOAD_SIZE_MISMATCH' },
      { cwd },
    );
  });

  test('keys come from DROVER_KEY or a command as well, and a missing one is usage', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const bundle = await makeBundleFolder(cwd);
    await refused(t, `sign ${bundle}`, { exit: 2, code: 'KEY_MISSING' }, { cwd });
    const signature = await readFile(join(bundle, 'signature.sig'));
    await rm(join(bundle, 'signature.sig'));
    await ok(t, `sign ${bundle}`, { cwd, env: { DROVER_KEY: '02'.repeat(32) } });
    assert.deepEqual(await readFile(join(bundle, 'signature.sig')), signature);
    await rm(join(bundle, 'signature.sig'));
    const words = ['sign', bundle, '--key-command', 'cat release.key'];
    const child = startDrover(t, 'publisher', words, { cwd });
    assert.equal((await child.exit).code, 0, child.describe());
    assert.deepEqual(await readFile(join(bundle, 'signature.sig')), signature);
  });

  test('a PEM for --key is refused with its conversion', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const bundle = await makeBundleFolder(cwd);
    const { privateKey } = generateKeyPairSync('ed25519');
    await writeFile(join(cwd, 'k.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const want = { exit: 2, code: 'KEY_IS_PEM', words: /openssl pkey -in k\.pem/ };
    await refused(t, `sign ${bundle} --key k.pem`, want, { cwd });
    await ok(t, 'keygen --from-pem k.pem --out converted', { cwd });
    assert.equal((await stat(join(cwd, 'converted.key'))).size, 32);
    await refused(
      t,
      'keygen --from-pem k.pem --out converted',
      { exit: 2, code: 'FILE_EXISTS' },
      { cwd },
    );
  });

  test('--dry-run changes nothing', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const bundle = await makeBundleFolder(cwd);
    const before = await readFile(join(bundle, 'signature.sig'));
    await ok(t, `sign ${bundle} --key stranger.key --add --dry-run`, { cwd });
    assert.deepEqual(await readFile(join(bundle, 'signature.sig')), before);
    await ok(t, 'keygen --out new --dry-run', { cwd });
    await ok(t, 'build app-1.0.0 --version 2.0.0 --arch any --out new-b --dry-run', { cwd });
    await ok(t, `pack ${bundle} --out new.drover --dry-run`, { cwd });
    for (const name of ['new.key', 'new.pub', 'new-b', 'new.drover']) {
      assert.equal(existsSync(join(cwd, name)), false, name);
    }
  });

  test('with --json an error is one object on stdout and prose on stderr', async (t) => {
    const child = await refused(t, 'verify nowhere --trust nothing --json', {
      exit: 2,
      code: 'FILE_UNREADABLE',
    });
    const { error } = JSON.parse(child.stdout) as { error: { code: string; hint: string } };
    assert.equal(error.code, 'FILE_UNREADABLE');
    assert.ok(error.hint.length > 0);
  });

  test('words that are not understood are usage, exit 2, never a trace', async (t) => {
    for (const line of [
      '',
      'bulid',
      'trust',
      'trust rotate-now',
      'fleet',
      'build',
      'sign x --kye y',
      'keygen --out a --out b',
      'publish b --broker',
      'build a b --version 1.0.0 --arch any --out c',
    ]) {
      await refused(t, line, { exit: 2, code: 'USAGE' });
    }
  });

  test('publish refuses before it connects: broker URL, keys, waves, sizes, bundle', async (t) => {
    const cwd = await tempFolder(t);
    await writeFleetFiles(cwd);
    const bundle = await makeBundleFolder(cwd);
    // Nothing listens there: reaching the network would end in exit 4.
    const broker = `--broker mqtt://127.0.0.1:${NOBODY_PORT}`;
    const publish = `publish ${bundle} --trust trust.json`;
    const key = '--key rollout.key';
    const cases: [string, number, string][] = [
      [`${publish} ${key} --broker 127.0.0.1:1883`, 2, 'USAGE'],
      [`${publish} ${key} --broker mqtt://me:secret@127.0.0.1`, 2, 'USAGE'],
      [`${publish} ${key} --broker http://127.0.0.1`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --waves 50,10`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --soak soon`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --chunk-size 1M`, 3, 'CHUNK_TOO_LARGE'],
      [`${publish} ${key} ${broker} --chunk-size 1k`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --robots a.b`, 2, 'USAGE'],
      // Without a confirmation the refusal names the rollouts that an emergency would end: asks the
      // broker.
      [`${publish} ${key} ${broker} --emergency`, 4, 'BROKER_UNREACHABLE'],
      [`${publish} ${key} ${broker} --gate crash_max=1`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --gate miss_max=2 --gate batch_s=1m`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --soak 1m,2m`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --approve 4`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --canaries a.b`, 2, 'USAGE'],
      [`${publish} ${key} ${broker} --late-spread 2d`, 2, 'USAGE'],
      [`${publish} --key release.key ${broker}`, 3, 'ENVELOPE_KEY_UNKNOWN'],
      [`${publish} --key stranger.key ${broker}`, 3, 'ENVELOPE_KEY_UNKNOWN'],
      [`${publish} ${broker}`, 2, 'KEY_MISSING'],
    ];
    for (const [line, exit, code] of cases) await refused(t, line, { exit, code }, { cwd });
    await writeFile(join(bundle, 'signature.sig'), new Uint8Array(64).fill(1));
    const want = { exit: 3, code: 'BUNDLE_SIGNATURE_BAD' };
    await refused(t, `${publish} ${key} ${broker}`, want, { cwd });
  });

  test('a broker that is not there is exit 4', async (t) => {
    await refused(t, `fleet versions --broker mqtt://127.0.0.1:${NOBODY_PORT} --json`, {
      exit: 4,
      code: 'BROKER_UNREACHABLE',
    });
  });

  test('every verb explains itself with an example', async (t) => {
    for (const verb of [
      'keygen',
      'trust init',
      'build',
      'sign',
      'verify',
      'inspect',
      'pack',
      'publish',
      'fleet versions',
      'rollout list',
      'rollout status',
      'rollout watch',
      'rollout history',
      'rollout rollback',
    ]) {
      const help = await ok(t, `${verb} --help`);
      assert.match(help, /^Examples:\n {2}drover /m, verb);
      assert.match(help, /--json/, verb);
    }
  });
});
