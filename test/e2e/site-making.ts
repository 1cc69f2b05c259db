/**
 * Keys, trust and bundles of a site, made in this process by what `drover keygen`, `trust init`,
 * `build` and `sign` call. A start of `drover` takes longer than their work, and hundreds of sites
 * are made; the command lines have tests of their own.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { buildBundle } from '../../publisher/bundle/build.ts';
import { signBundleFolder } from '../../publisher/bundle/sign.ts';
import { parsePublicKey, planTrust } from '../../publisher/trust/plan-trust.ts';
import { newSeed, writeKeyPair } from '../../shared/io/key-file.ts';

const TRUST_LIFE_MS = 365 * 24 * 3_600_000;
const SILENT = { json: false, say: () => undefined, result: () => undefined };

/** Writes PATH.key and PATH.pub. */
export async function makeKey(path: string): Promise<void> {
  await writeKeyPair(path, newSeed());
}

/** The trust of fleet `test`: one key for each role, and the release key is the root key. */
export async function makeTrust(keys: {
  release: string;
  rollout: string;
  out: string;
}): Promise<void> {
  const roleOf = async (path: string) => ({
    keys: [parsePublicKey(await readFile(`${path}.pub`), path)],
    threshold: 1,
  });
  const [release, rollout] = [await roleOf(keys.release), await roleOf(keys.rollout)];
  const { bytes } = planTrust({
    fleet: 'test',
    expiresAtMs: Date.now() + TRUST_LIFE_MS,
    issuedAtMs: Date.now(),
    roles: { root: release, release, rollout },
  });
  await writeFile(keys.out, bytes, { flag: 'wx' });
}

/** @param options of `drover build` */
export async function makeBundle(job: {
  app: string;
  version: string;
  options: readonly string[];
  out: string;
  key: string;
}): Promise<void> {
  const { values } = parseArgs({
    args: [...job.options],
    options: {
      name: { type: 'string', default: 'app' },
      arch: { type: 'string', default: 'any' },
      'min-current': { type: 'string', default: '0.0.0' },
      rollback: { type: 'string' },
      'delta-from': { type: 'string', multiple: true, default: [] },
    },
  });
  const { name, arch, 'min-current': minCurrent, rollback = minCurrent } = values;
  await buildBundle({
    appFolder: job.app,
    out: job.out,
    labels: { name, version: job.version, arch, minCurrent, rollback },
    deltasFrom: values['delta-from'],
    zstd: 'zstd',
    dryRun: false,
    output: SILENT,
  });
  const seed = new Uint8Array(await readFile(`${job.key}.key`));
  await signBundleFolder({ folder: job.out, seeds: [seed], add: false, dryRun: false });
}
