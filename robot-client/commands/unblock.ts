/** `drover-robot unblock`: lets a version that failed here be tried again. */

import type { Argv } from 'yargs';
import { withFilledHint } from '../../shared/base/errors.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { callAgent } from './ask-agent.ts';
import { componentOf, withComponent } from './declare-options.ts';
import { parseRoots } from './options.ts';

const withVersion = (argv: Argv) =>
  withComponent(argv).positional('version', {
    type: 'string',
    demandOption: true,
    describe: 'version that failed here',
  });

export const unblockCommand = (argv: Argv): Argv =>
  argv.command(
    'unblock <version>',
    'let a version that failed here be tried again',
    withVersion,
    async (args) => {
      const { version } = args;
      const agent = { roots: parseRoots(args.root), socket: args.socket };
      const body = { version, ...componentOf(args) };
      const answer = await callAgent(agent, 'POST', '/unblock', body).catch((thrown: unknown) => {
        throw withFilledHint(thrown, { VERSION: version });
      });
      makeOutput(args.json).result(answer as object, [`${version} may be tried again`]);
    },
  );
