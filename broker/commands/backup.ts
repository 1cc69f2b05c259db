/**
 * `drover-broker backup`, `restore` and `repair`: the data folder of a broker in one file, out of
 * it, and readable again where its databases are damaged.
 */

import type { Argv } from 'yargs';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { runBackup } from '../backup/backup.ts';
import { runRepair } from '../backup/repair.ts';
import { runRestore } from '../backup/restore.ts';
import { runForgetLog } from '../control/forget-log.ts';

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

export const restoreCommand = (argv: Argv): Argv =>
  argv.command(
    'restore <file>',
    'make a data folder from a backup; rollouts in it are paused',
    (options) =>
      withJson(options)
        .positional('file', { type: 'string', demandOption: true, describe: 'file of backup' })
        .option('data', { ...TEXT, demandOption: true, describe: 'an empty folder' }),
    ({ file, data, json }) => runRestore({ file, data, json }),
  );

export const repairCommand = (argv: Argv): Argv =>
  argv.command(
    'repair',
    'make damaged databases of a stopped broker readable again; keeps the damaged ones',
    (options) =>
      withJson(options)
        .option('data', { ...TEXT, demandOption: true, describe: 'data folder of the broker' })
        .option('forget-log', {
          ...TEXT,
          describe: 'remove the transparency log of this origin instead, so that another can begin',
        }),
    ({ data, json, forgetLog: origin }) =>
      origin === undefined ? runRepair({ data, json }) : runForgetLog({ data, origin, json }),
  );
