/** `drover-broker backup`: one file of a data folder, while its broker runs or not. */

import type { Argv } from 'yargs';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { runBackup } from '../backup/backup.ts';

export const backupCommand = (argv: Argv): Argv =>
  argv.command(
    'backup',
    'one file of a data folder, while its broker runs or not',
    (options) =>
      withJson(options)
        .option('data', { ...TEXT, demandOption: true, describe: 'data folder of the broker' })
        .option('out', { ...TEXT, demandOption: true, describe: 'file to make' })
        .option('chunks', {
          type: 'boolean',
          default: true,
          describe: '--no-chunks leaves them out: publishing again brings them back',
        }),
    ({ data, out, chunks, json }) => runBackup({ data, out, hasChunks: chunks, json }),
  );
