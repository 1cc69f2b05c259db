/** `drover-broker restore`: makes a data folder from a backup. */

import type { Argv } from 'yargs';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { runRestore } from '../backup/restore.ts';

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
