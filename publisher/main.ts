#!/usr/bin/env node
/** `drover`: the publisher's command line. */

import { runCommandLine } from '../shared/io/command-line.ts';
import { PUBLISHER_PROGRAM } from './commands/program.ts';

await runCommandLine(PUBLISHER_PROGRAM);
