/** `drover-broker repair`: makes damaged databases of a stopped broker readable again. */

import type { Argv } from 'yargs';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { runForgetLog } from '../control/forget-log.ts';
import { runRepair } from '../backup/repair.ts';

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
