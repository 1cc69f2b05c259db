/**
 * Keys, trust and bundles of a site, made and published in this process by what `drover keygen`,
 * `trust init`, `build`, `sign` and `publish` call. A start of `drover` takes longer than their work,
 * and hundreds of sites are made; the command lines have tests of their own.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import yargs from 'yargs';
import { buildBundle } from '../../publisher/bundle/build.ts';
import { signBundleFolder } from '../../publisher/bundle/sign.ts';
import { readAudience, withSteps, withWho } from '../../publisher/commands/audience-options.ts';
import {
  brokerOptions,
  openSigners,
  withBroker,
  withKeys,
} from '../../publisher/commands/options.ts';
import { rolloutIdFor } from '../../publisher/rollout/plan-rollout.ts';
import { JOURNAL_FILE } from '../../publisher/transfer/journal.ts';
import { publishBundle } from '../../publisher/rollout/publish.ts';
import { planTrust } from '../../publisher/trust/plan-trust.ts';
import { parsePublicKey } from '../../shared/formats/public-key.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { parseByteSize } from '../../shared/base/byte-sizes.ts';
import { parseDurationMs } from '../../shared/base/durations.ts';
import { openBundle } from '../../shared/io/bundle-folder.ts';
import { LIST, TEXT } from '../../shared/io/cli-options.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { newSeed, writeKeyPair } from '../../shared/io/key-file.ts';
import { seedSigner } from '../../shared/crypto/ed25519.ts';
import { keysOf } from '../../shared/formats/trust.ts';

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
    source: job.app,
    out: job.out,
    labels: { name, version: job.version, arch, minCurrent, rollback },
    deltasFrom: values['delta-from'],
    zstd: 'zstd',
    dryRun: false,
    output: SILENT,
  });
  const seed = new Uint8Array(await readFile(`${job.key}.key`));
  await signBundleFolder({
    folder: job.out,
    signers: [seedSigner(seed)],
    add: false,
    dryRun: false,
  });
}

const FLAG = { type: 'boolean', default: false } as const;

/** @param words of `drover publish`, without the verb; an emergency is not asked for */
async function readPublish(words: readonly string[]) {
  return await withSteps(withWho(withKeys(withBroker(yargs([...words])))))
    .option('trust', { ...TEXT, demandOption: true })
    .option('chunk-size', { ...TEXT, default: '256k' })
    .option('expires', { ...TEXT, default: '30d' })
    .option('id', TEXT)
    .option('supersede', LIST)
    .option('alongside', FLAG)
    .option('anyway', FLAG)
    .option('replace-invalid', FLAG)
    .option('upload-only', FLAG)
    .option('yes', FLAG)
    .strictOptions()
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new Error(message);
    })
    .parseAsync();
}

/**
 * Publishes a bundle folder.
 *
 * @throws DroverError what `drover publish` would end with
 */
export async function publish(folder: string, words: readonly string[]): Promise<void> {
  const argv = await readPublish(words);
  const trust = readTrust(argv.trust);
  const bundle = await openBundle(folder);
  try {
    const { name, version } = bundle.manifest;
    await publishBundle({
      ...{
        bundle,
        trust,
        journalPath: join(folder, JOURNAL_FILE),
        broker: await brokerOptions(argv),
      },
      signers: argv.uploadOnly ? [] : await openSigners(argv, keysOf(trust)),
      rolloutId: argv.id ?? rolloutIdFor(name, version, Math.random),
      audience: readAudience(argv, { fleet: trust.fleet, publisher: undefined }),
      chunkBytes: parseByteSize(argv.chunkSize),
      lifeMs: parseDurationMs(argv.expires),
      ...{ supersede: argv.supersede ?? [], alongside: argv.alongside, anyway: argv.anyway },
      ...{ replaceInvalid: argv.replaceInvalid, uploadOnly: argv.uploadOnly, dryRun: false },
      ...{ output: SILENT, log: makeLog('publisher', 'silent') },
    });
  } finally {
    await bundle.close();
  }
}
