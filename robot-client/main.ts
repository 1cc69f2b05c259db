#!/usr/bin/env node
/** `drover-robot`: the agent, and the questions a person at the robot asks it. */

import { runCommandLine } from '../shared/io/command-line.ts';
import { ROBOT_PROGRAM } from './commands/program.ts';

await runCommandLine(ROBOT_PROGRAM);
