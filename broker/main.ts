#!/usr/bin/env node
/** `drover-broker`: the broker, and the credentials it knows. */

import { runCommandLine } from '../shared/io/command-line.ts';
import { BROKER_PROGRAM } from './commands/program.ts';

await runCommandLine(BROKER_PROGRAM);
