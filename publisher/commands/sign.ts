/** `drover sign`: the words of the stage in ../sign.ts. */

import type { Argv } from 'yargs';
import { keyIdOf } from '../../shared/crypto/ed25519.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { readSeeds } from '../../shared/io/key-file.ts';
import { signBundleFolder } from '../bundle/sign.ts';
import { withDryRun, withJson } from '../../shared/io/cli-options.ts';
import { keySources, warn, withKeys } from './options.ts';

export function signCommand(yargs: Argv): Argv {
  return yargs.command(
    'sign <bundle>',
    'sign a bundle with a release key',
    (argv) =>
      withKeys(withDryRun(withJson(argv)))
        .positional('bundle', { type: 'string', demandOption: true })
        .option('add', {
          type: 'boolean',
          default: false,
          describe: 'keep the signatures that are there (thresholds above 1)',
        })
        .option('drop-xattrs', {
          type: 'boolean',
          default: false,
          describe:
            'sign a tar of another tool whose capabilities, ACLs and xattrs robots leave out',
        })
        .example('$0 sign bundles/1.4.2 --key keys/release.key', '')
        .example('$0 sign bundles/1.4.2 --key-command "pass show drover/release"', 'no disk')
        .example('$0 sign bundles/1.4.2 --key keys/second.key --add', 'co-sign'),
    async (argv) => {
      const seeds = await readSeeds(keySources(argv), warn);
      const signed = await signBundleFolder({
        folder: argv.bundle,
        seeds,
        add: argv.add,
        dropXattrs: argv.dropXattrs,
        dryRun: argv.dryRun,
      });
      const ids = signed.keys.map(keyIdOf);
      makeOutput(argv.json).result(
        {
          dry_run: argv.dryRun,
          bundle: argv.bundle,
          version: signed.version,
          keys: signed.keys,
          signatures: signed.signatures,
        },
        [
          `${argv.dryRun ? 'would sign' : 'signed'} ${signed.version} with key ${ids.join(', ')} (${signed.signatures} in all)`,
        ],
      );
    },
  );
}
