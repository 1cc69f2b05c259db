/**
 * `drover trust init`: makes the first trust.json, which is installed on robots. trust-rotate.ts
 * has the later ones.
 */

import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Argv } from 'yargs';
import { keyIdOf } from '../../shared/crypto/ed25519.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { makeOutput, readInput } from '../../shared/io/cli.ts';
import { planTrust, sharedKeys, trustLifeMs } from '../trust/plan-trust.ts';
import { parsePublicKey } from '../../shared/formats/public-key.ts';
import { LIST, TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import { thresholdOption, warn } from './options.ts';
import {
  runPublish,
  runRotate,
  runSign,
  withPublishOptions,
  withRotateOptions,
  withSignOptions,
} from './trust-rotate.ts';

export function trustCommand(yargs: Argv): Argv {
  return yargs.command('trust', 'say which keys robots believe', (argv) =>
    argv
      .command('init', 'write a first trust.json', withInitOptions, runInit)
      .command('rotate', 'write the next trust.json, signed', withRotateOptions, runRotate)
      .command('sign <update>', 'add signatures (thresholds above 1)', withSignOptions, runSign)
      .command('publish <update>', 'bring it to a fleet', withPublishOptions, runPublish)
      .demandCommand(1, 'name a command: trust init, rotate, sign or publish'),
  );
}

function withInitOptions(argv: Argv) {
  return withDryRun(withJson(argv))
    .option('release', { ...LIST, demandOption: true, describe: 'may say WHAT runs' })
    .option('rollout', { ...LIST, demandOption: true, describe: 'may say WHO and WHEN' })
    .option('root', { ...LIST, describe: 'may replace keys; default: the release keys' })
    .option('release-threshold', { ...thresholdOption('release'), default: 1 })
    .option('rollout-threshold', { ...thresholdOption('rollout'), default: 1 })
    .option('root-threshold', { ...thresholdOption('root'), default: 1 })
    .option('fleet', { ...TEXT, default: 'default', describe: 'name of the fleet' })
    .option('expires', { ...TEXT, default: '365d', describe: 'life of this trust.json' })
    .option('out', { ...TEXT, demandOption: true, describe: 'file to write' })
    .example(
      '$0 trust init --release keys/release.pub --rollout keys/rollout.pub --out trust.json',
      'one key for each role',
    );
}

type InitArgs = Awaited<ReturnType<typeof withInitOptions>['argv']>;

async function runInit(argv: InitArgs): Promise<void> {
  const read = (paths: readonly string[]) =>
    paths.map((path) => parsePublicKey(readInput(path, `public key ${path}`), path));
  const release = { keys: read(argv.release), threshold: argv.releaseThreshold };
  const rollout = { keys: read(argv.rollout), threshold: argv.rolloutThreshold };
  const rootKeys = argv.root === undefined ? release.keys : read(argv.root);
  const { document, bytes } = planTrust({
    fleet: argv.fleet,
    expiresAtMs: Date.now() + trustLifeMs(argv.expires),
    issuedAtMs: Date.now(),
    roles: { root: { keys: rootKeys, threshold: argv.rootThreshold }, release, rollout },
  });
  if (sharedKeys(release.keys, rollout.keys).length > 0) {
    warn(
      'one key is both release and rollout: whoever steals the online one can sign code as well',
    );
  }
  if (argv.dryRun) await assertFree(argv.out);
  else await writeNew(argv.out, bytes);

  const ids = (keys: readonly string[]) => keys.map(keyIdOf).join(', ');
  makeOutput(argv.json).result({ dry_run: argv.dryRun, out: argv.out, trust: document }, [
    `${argv.dryRun ? 'would write' : 'wrote'} ${argv.out} for fleet ${argv.fleet}, good until ${document.expires}`,
    `release: ${release.threshold} of ${ids(release.keys)}`,
    `rollout: ${rollout.threshold} of ${ids(rollout.keys)}`,
    `root:    ${argv.rootThreshold} of ${ids(rootKeys)}${argv.root === undefined ? ' (the release keys, since no --root was given)' : ''}`,
  ]);
}

function exists(path: string): DroverError {
  return new DroverError('FILE_EXISTS', `write trust ${path}: it is there already`, {
    hint: 'choose another --out; robots that have the old file would not believe a new one',
  });
}

async function assertFree(path: string): Promise<void> {
  const found = await access(path).then(
    () => true,
    () => false,
  );
  if (found) throw exists(path);
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes, { flag: 'wx', flush: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') throw exists(path);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `write trust ${path}: ${why}`, { cause });
  }
}
