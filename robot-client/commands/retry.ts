/** `drover-robot retry`: tries again now what waits for another try. */

import type { Argv } from 'yargs';
import { makeOutput } from '../../shared/io/cli.ts';
import { callAgent } from './call-agent.ts';
import { componentOf, withComponent } from './declare-options.ts';
import { parseRoots } from './options.ts';

export const retryCommand = (argv: Argv): Argv =>
  argv.command(
    'retry',
    'try now what failed and waits for another try, also a rollback that is stuck',
    withComponent,
    async (args) => {
      const agent = { roots: parseRoots(args.root), socket: args.socket };
      const answer = await callAgent(agent, 'POST', '/retry', componentOf(args));
      makeOutput(args.json).result(answer as object, ['it is tried again now']);
    },
  );
