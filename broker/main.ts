#!/usr/bin/env node
/** `drover-broker`: the broker, and the credentials it knows. */

import { runCommandLine } from '../shared/io/command-line.ts';
import { BROKER_PROGRAM } from './commands/program.ts';

// Other users cannot write its files, also where it is started with a umask of 0.
process.umask(process.umask() | 0o022);
await runCommandLine(BROKER_PROGRAM);
