/** `drover-robot explain`: says what the robot does and why, for people. */

import type { Argv } from 'yargs';
import { ask } from './ask-agent.ts';
import { withRoots } from './declare-options.ts';

export const explainCommand = (argv: Argv): Argv =>
  argv.command('explain', 'what it does, why it waits, when it wakes', withRoots, (args) =>
    ask(args, '/explain'),
  );
