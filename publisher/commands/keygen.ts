/** `drover keygen`: makes a signing key, or imports one from PEM. It never overwrites a file. */

import type { Argv } from 'yargs';
import { keyIdOf, publicKeyOf } from '../../shared/crypto/ed25519.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import {
  assertKeyPathsFree,
  keyPaths,
  newSeed,
  readPemSeed,
  writeKeyPair,
} from '../../shared/io/key-file.ts';
import { agePaths, writeAgeKey } from '../airgap/age-keys.ts';
import { TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';

export function keygenCommand(yargs: Argv): Argv {
  return yargs.command(
    'keygen',
    'make a signing key: NAME.key (secret, 32 raw bytes) and NAME.pub (64 hex digits)',
    (argv) =>
      withDryRun(withJson(argv))
        .option('out', { ...TEXT, demandOption: true, describe: 'path without an ending' })
        .option('age', {
          type: 'boolean',
          describe:
            'make a key of the age format instead, for export --to: NAME.agekey, NAME.agepub',
        })
        // Without a default: yargs treats a default as a given value, and would refuse every PEM.
        .conflicts('age', 'from-pem')
        .option('from-pem', { ...TEXT, describe: 'take the key of this PKCS#8 PEM file' })
        .example('$0 keygen --out keys/release', 'keys/release.key and keys/release.pub')
        .example('$0 keygen --from-pem old.pem --out keys/release', 'convert a PEM key'),
    async (argv) => {
      if (argv.age) return await makeAgeKey(argv);
      const seed = argv.fromPem === undefined ? newSeed() : readPemSeed(argv.fromPem);
      if (argv.dryRun) assertKeyPathsFree(argv.out);
      else await writeKeyPair(argv.out, seed);
      const { privatePath, publicPath } = keyPaths(argv.out);
      const publicKey = publicKeyOf(seed);
      // A dry run throws its random key away: naming it would promise a key that will not exist.
      const isReal = !argv.dryRun || argv.fromPem !== undefined;
      const named = isReal ? { public_key: publicKey, key_id: keyIdOf(publicKey) } : {};
      makeOutput(argv.json).result(
        { dry_run: argv.dryRun, private: privatePath, public: publicPath, ...named },
        [
          `${argv.dryRun ? 'would write' : 'wrote'} ${privatePath} (keep it secret) and ${publicPath}`,
          ...(isReal ? [`public key ${publicKey}, id ${keyIdOf(publicKey)}`] : []),
        ],
      );
    },
  );
}

/** It signs nothing: it decrypts files that were exported for it. */
async function makeAgeKey(argv: { out: string; dryRun: boolean; json: boolean }): Promise<void> {
  const recipient = await writeAgeKey(argv.out, argv.dryRun);
  const { privatePath, publicPath } = agePaths(argv.out);
  makeOutput(argv.json).result(
    {
      dry_run: argv.dryRun,
      private: privatePath,
      public: publicPath,
      ...(recipient !== null && { recipient }),
    },
    [
      `${argv.dryRun ? 'would write' : 'wrote'} ${privatePath} (it stays at the site) and ${publicPath}`,
      ...(recipient === null ? [] : [`recipient ${recipient}: drover export --to`]),
    ],
  );
}
