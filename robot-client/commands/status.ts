/** `drover-robot status`: shows what runs, as JSON. */

import type { Argv } from 'yargs';
import { ask } from './ask-agent.ts';
import { withRoots } from './declare-options.ts';

export const statusCommand = (argv: Argv): Argv =>
  argv.command('status', 'what runs, as JSON', withRoots, (args) => ask(args, '/status'));
