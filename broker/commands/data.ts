/** The verbs on a data folder as a whole: `drover-broker backup`, `repair` and `restore`. */

import type { Argv } from 'yargs';
import { runBackup } from '../backup/backup.ts';
import { runRepair } from '../control/repair.ts';
import { runRestore } from '../backup/restore.ts';

export const withDataCommands = <T>(args: Argv<T>): Argv<T> =>
  args
    .command(
      'backup',
      'one file of a data folder, while its broker runs or not',
      (options) =>
        options
          .option('data', { type: 'string', demandOption: true })
          .option('out', { type: 'string', demandOption: true, describe: 'file to make' })
          .option('chunks', {
            type: 'boolean',
            default: true,
            describe: '--no-chunks leaves them out: publishing again brings them back',
          })
          .option('json', { type: 'boolean', default: false }),
      ({ data, out, chunks, json }) => runBackup({ data, out, hasChunks: chunks, json }),
    )
    .command(
      'repair',
      'make damaged databases of a stopped broker readable again; keeps the damaged ones',
      (options) =>
        options
          .option('data', { type: 'string', demandOption: true })
          .option('json', { type: 'boolean', default: false }),
      ({ data, json }) => runRepair({ data, json }),
    )
    .command(
      'restore <file>',
      'make a data folder from a backup; rollouts in it are paused',
      (options) =>
        options
          .positional('file', { type: 'string', demandOption: true })
          .option('data', { type: 'string', demandOption: true, describe: 'an empty folder' })
          .option('json', { type: 'boolean', default: false }),
      ({ file, data, json }) => runRestore({ file, data, json }),
    );
