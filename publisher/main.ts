#!/usr/bin/env node
/** `drover`: the publisher's command line. */

import { runCommandLine } from '../shared/io/command-line.ts';
import { PUBLISHER_PROGRAM } from './commands/program.ts';

// No file or folder of it is for every user to write, also where the umask is 0.
process.umask(process.umask() | 0o002);
await runCommandLine(PUBLISHER_PROGRAM);
