/** `drover-broker repair`: makes damaged databases of a stopped broker readable again. */

import type { Argv } from 'yargs';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { runRepair } from '../control/repair.ts';

export const repairCommand = (argv: Argv): Argv =>
  argv.command(
    'repair',
    'make damaged databases of a stopped broker readable again; keeps the damaged ones',
    (options) =>
      withJson(options).option('data', {
        ...TEXT,
        demandOption: true,
        describe: 'data folder of the broker',
      }),
    ({ data, json }) => runRepair({ data, json }),
  );
