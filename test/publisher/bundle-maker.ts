/** Bundles on disk for the publisher's tests, made by the product itself. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildBundle } from '../../publisher/bundle/build.ts';
import { signBundleFolder } from '../../publisher/bundle/sign.ts';
import { publicKeyOf, seedSigner } from '../../shared/crypto/ed25519.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { fixedSeed, makeFleet } from '../helpers/fleet.ts';

/** Keys and trust of test/helpers/fleet.ts as files: release.key, rollout.key, trust.json, … */
export async function writeFleetFiles(folder: string): Promise<void> {
  const fleet = makeFleet();
  await writeFile(join(folder, 'trust.json'), fleet.trustBytes);
  for (const [name, seed] of Object.entries({ ...fleet.seeds, stranger: fixedSeed(99) })) {
    await writeFile(join(folder, `${name}.key`), seed, { mode: 0o600 });
    await writeFile(join(folder, `${name}.pub`), `${publicKeyOf(seed)}\n`);
  }
}

/** A signed bundle folder; its payload does not compress, so its size is about `bytes`. */
export async function makeBundleFolder(
  folder: string,
  version = '1.0.0',
  bytes = 1_000,
): Promise<string> {
  const app = join(folder, `app-${version}`);
  const out = join(folder, version);
  await mkdir(app, { recursive: true });
  await writeFile(join(app, 'VERSION'), `${version}\n`);
  await writeFile(join(app, 'data'), noise(bytes));
  const labels = { name: 'app', version, arch: 'any', minCurrent: '0.0.0', rollback: '0.0.0' };
  const output = makeOutput(true);
  await buildBundle({ source: app, out, labels, dryRun: false, output });
  const { release } = makeFleet().seeds;
  await signBundleFolder({
    folder: out,
    signers: [seedSigner(release)],
    add: false,
    dryRun: false,
  });
  return out;
}

/** The same incompressible bytes every time: xorshift32. */
function noise(bytes: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let x = 0x9e3779b9;
  for (let at = 0; at < words.length; at += 1) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[at] = x;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}
