/** `drover build`: the words of the stage in ../build.ts. */

import type { Argv } from 'yargs';
import { formatBytes } from '../../shared/byte-sizes.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { shortHash } from '../../shared/ids.ts';
import { buildBundle } from '../build.ts';
import { TEXT, withDryRun, withJson } from './options.ts';

export function buildVerb(yargs: Argv): Argv {
  return yargs.command(
    'build <folder>',
    "pack an application's folder into a bundle",
    (argv) =>
      withDryRun(withJson(argv))
        .positional('folder', { type: 'string', demandOption: true })
        .option('version', { ...TEXT, demandOption: true, describe: 'semantic version' })
        .option('arch', { ...TEXT, demandOption: true, describe: 'aarch64, x86_64, … or any' })
        .option('min-current', {
          ...TEXT,
          default: '0.0.0',
          describe: 'lowest version a robot may come from',
        })
        .option('rollback', {
          ...TEXT,
          describe: 'version to fall back to; default: --min-current',
        })
        .option('name', { ...TEXT, default: 'app', describe: 'component' })
        .option('out', { ...TEXT, demandOption: true, describe: 'bundle folder to make' })
        .example('$0 build ./app --version 1.4.2 --arch aarch64 --out bundles/1.4.2', '')
        .example('$0 build ./app --version 1.4.2 --arch any --min-current 1.2.0 --out b', ''),
    async (argv) => {
      const output = makeOutput(argv.json);
      const { out, plan, payload } = await buildBundle({
        appFolder: argv.folder,
        out: argv.out,
        labels: {
          name: argv.name,
          version: argv.version,
          arch: argv.arch,
          minCurrent: argv.minCurrent,
          rollback: argv.rollback ?? argv.minCurrent,
        },
        dryRun: argv.dryRun,
        onBytes: () => undefined,
      });
      const tree = `${plan.files} files, ${formatBytes(plan.bytes)}`;
      const head = `${argv.name} ${argv.version} for ${argv.arch}: ${tree}`;
      output.result(
        {
          dry_run: argv.dryRun,
          bundle: out,
          name: argv.name,
          version: argv.version,
          entries: plan.entries.length,
          files: plan.files,
          unpacked_size: plan.bytes,
          ...(payload && {
            payload_sha256: payload.sha256,
            payload_size: payload.bytes,
            payload_tar_sha256: payload.tarSha256,
            payload_tar_size: payload.tarBytes,
          }),
        },
        payload
          ? [
              `built ${head} packed into ${formatBytes(payload.bytes)}`,
              `payload ${shortHash(payload.sha256)}`,
              `next: drover sign ${argv.out} --key release.key`,
            ]
          : [`would build ${head}`],
      );
    },
  );
}
