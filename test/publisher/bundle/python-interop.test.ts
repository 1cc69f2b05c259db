/** Bundles go both ways between Drover and Python's `cryptography`, byte for byte. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { signBundleFolder } from '../../../publisher/bundle/sign.ts';
import { bytesToHex } from '../../../shared/crypto/bytes.ts';
import { publicKeyOf, seedSigner } from '../../../shared/crypto/ed25519.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { startDrover } from '../../helpers/child.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { requirePython } from '../../helpers/peer.ts';
import { repositoryFile } from '../../helpers/repository.ts';
import { realTar } from '../../helpers/tar.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { makeBundleFolder, writeFleetFiles } from '../bundle-maker.ts';

function ask(python: string, verb: 'sign' | 'verify', bundle: string, key: string): unknown {
  const input = JSON.stringify({ verb, bundle, key });
  const script = repositoryFile('test/publisher/interop.py');
  return JSON.parse(execFileSync(python, [script], { input }).toString());
}

/** A bundle that was made without Drover: the six required fields, and a plain tar. */
async function makeForeignBundle(folder: string): Promise<string> {
  const [app, bundle] = [join(folder, 'app'), join(folder, 'bundle')];
  await mkdir(join(app, 'bin'), { recursive: true });
  await mkdir(bundle);
  await writeFile(join(app, 'bin', 'run'), '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 });
  const payload = realTar(app);
  const manifest = {
    version: '2.0.0',
    min_current_version: '1.0.0',
    target_arch: 'aarch64',
    payload_sha256: sha256Hex(payload),
    rollback_version: '1.0.0',
    apply_strategy: 'atomic_swap',
  };
  await writeFile(join(bundle, 'payload.tar.gz'), payload);
  await writeFile(join(bundle, 'manifest.json'), JSON.stringify(manifest));
  return bundle;
}

test('a bundle that Python signed, with six fields and a plain tar, is verified and inspected', async (t) => {
  const python = requirePython(t);
  if (python === null) return;
  const folder = await tempFolder(t);
  await writeFleetFiles(folder);
  const bundle = await makeForeignBundle(folder);
  const signature = ask(python, 'sign', bundle, bytesToHex(makeFleet().seeds.release)) as string;
  await writeFile(join(bundle, 'signature.sig'), Buffer.from(signature, 'hex'));

  const trust = join(folder, 'trust.json');
  const verify = startDrover(t, 'publisher', ['verify', bundle, '--trust', trust]);
  assert.deepEqual(await verify.exit, { code: 0, signal: null }, verify.describe());
  assert.match(verify.stdout, /^ok: app 2\.0\.0 for aarch64/);
  const inspect = startDrover(t, 'publisher', ['inspect', bundle, '--json']);
  assert.equal((await inspect.exit).code, 0, inspect.describe());
  const facts = JSON.parse(inspect.stdout) as { payload: object; archive: object };
  assert.equal((facts.payload as { matches: boolean }).matches, true);
  assert.equal((facts.archive as { files: number }).files, 1);
});

test('a signature that Python made with another key is refused', async (t) => {
  const python = requirePython(t);
  if (python === null) return;
  const folder = await tempFolder(t);
  await writeFleetFiles(folder);
  const bundle = await makeForeignBundle(folder);
  const signature = ask(python, 'sign', bundle, bytesToHex(fixedSeed(99))) as string;
  await writeFile(join(bundle, 'signature.sig'), Buffer.from(signature, 'hex'));
  const trust = join(folder, 'trust.json');
  const verify = startDrover(t, 'publisher', ['verify', bundle, '--trust', trust]);
  assert.equal((await verify.exit).code, 3);
  assert.match(verify.stderr, /BUNDLE_SIGNATURE_BAD/);
});

test('our signature equals that of Python byte for byte, and Python verifies it', async (t) => {
  const python = requirePython(t);
  if (python === null) return;
  const folder = await tempFolder(t);
  const bundle = await makeBundleFolder(folder);
  const signaturePath = join(bundle, 'signature.sig');
  for (let round = 0; round < 4; round += 1) {
    const seed = new Uint8Array(randomBytes(32));
    await rm(signaturePath); // a signature of another key stays unless a person removes it
    await signBundleFolder({
      folder: bundle,
      signers: [seedSigner(seed)],
      add: false,
      dryRun: false,
    });
    const ours = (await readFile(signaturePath)).toString('hex');
    assert.equal(ask(python, 'sign', bundle, bytesToHex(seed)), ours, bytesToHex(seed));
    assert.equal(ask(python, 'verify', bundle, publicKeyOf(seed)), true);
    assert.equal(ask(python, 'verify', bundle, publicKeyOf(fixedSeed(9))), false);
  }
});
