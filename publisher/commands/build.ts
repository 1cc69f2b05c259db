/** `drover build`: the words of the stage in ../build.ts. */

import type { Argv } from 'yargs';
import { formatBytes } from '../../shared/byte-sizes.ts';
import { makeOutput, type Output } from '../../shared/io/cli.ts';
import { shortHash } from '../../shared/ids.ts';
import { buildBundle, type BuiltBundle } from '../build.ts';
import type { BundleLabels } from '../core/plan-bundle.ts';
import { LIST, TEXT, withDryRun, withJson } from './options.ts';

export function buildVerb(yargs: Argv): Argv {
  return yargs.command(
    'build <folder>',
    "pack an application's folder into a bundle",
    withOptions,
    runBuild,
  );
}

function withOptions(argv: Argv) {
  return withDryRun(withJson(argv))
    .positional('folder', { type: 'string', demandOption: true })
    .option('version', { ...TEXT, demandOption: true, describe: 'semantic version' })
    .option('arch', { ...TEXT, demandOption: true, describe: 'aarch64, x86_64, … or any' })
    .option('min-current', { ...TEXT, default: '0.0.0', describe: 'lowest version to update' })
    .option('rollback', { ...TEXT, describe: 'version to fall back to; default: --min-current' })
    .option('name', { ...TEXT, default: 'app', describe: 'component' })
    .option('delta-from', {
      ...LIST,
      describe: 'older bundle, or VERSION=TAR, to make a delta from; may be given again',
    })
    .option('zstd', { ...TEXT, default: 'zstd', describe: 'program that makes deltas' })
    .option('out', { ...TEXT, demandOption: true, describe: 'bundle folder to make' })
    .example('$0 build ./app --version 1.4.2 --arch aarch64 --out bundles/1.4.2', '')
    .example('$0 build ./app --version 1.4.2 --arch any --min-current 1.2.0 --out b', '')
    .example('$0 build ./app … --delta-from bundles/1.4.1 --delta-from bundles/1.4.0', '');
}

type BuildArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

async function runBuild(argv: BuildArgs): Promise<void> {
  const labels: BundleLabels = {
    name: argv.name,
    version: argv.version,
    arch: argv.arch,
    minCurrent: argv.minCurrent,
    rollback: argv.rollback ?? argv.minCurrent,
  };
  const { folder: appFolder, out, dryRun, deltaFrom: deltasFrom = [], zstd } = argv;
  const output = makeOutput(argv.json);
  const job = { appFolder, out, labels, deltasFrom, zstd, dryRun, output };
  report(output, labels, await buildBundle(job));
}

function report(output: Output, labels: BundleLabels, built: BuiltBundle): void {
  const { out, plan, payload, deltas } = built;
  const { name, version, arch } = labels;
  const head = `${name} ${version} for ${arch}: ${plan.files} files, ${formatBytes(plan.bytes)}`;
  output.result(
    {
      dry_run: payload === null,
      bundle: out,
      name,
      version,
      entries: plan.entries.length,
      files: plan.files,
      unpacked_size: plan.bytes,
      ...(payload && {
        payload_sha256: payload.sha256,
        payload_size: payload.bytes,
        payload_tar_sha256: payload.tarSha256,
        payload_tar_size: payload.tarBytes,
        deltas: deltas.map(({ from_version, size }) => ({ from_version, size })),
      }),
    },
    payload
      ? [
          `built ${head} packed into ${formatBytes(payload.bytes)}`,
          `payload ${shortHash(payload.sha256)}`,
          ...deltas.map((delta) => `delta from ${delta.from_version}: ${formatBytes(delta.size)}`),
          `next: drover sign ${out} --key release.key`,
        ]
      : [`would build ${head}`],
  );
}
