/** The commands of `drover-robot`. */

import { toProblem } from '../../shared/base/errors.ts';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import type { CommandLine } from '../../shared/io/command-line.ts';
import { adoptCommand } from './adopt.ts';
import { bootWords } from './boot-words.ts';
import { enrolSelfCommand } from './enrol.ts';
import { explainCommand, statusCommand } from './ask-agent.ts';
import { goneCommand } from './gone.ts';
import { pairCommand } from './pair.ts';
import { recoverCommand } from './recover.ts';
import { retryCommand, unblockCommand } from './retry.ts';
import { agentCommand } from './serve.ts';
import { slotsCommand, SLOTS_VERBS } from './slots.ts';

export const ROBOT_PROGRAM: CommandLine = {
  program: 'drover-robot',
  does: 'updates this robot, and says what it is doing',
  main: agentCommand,
  commands: {
    enrol: enrolSelfCommand,
    status: statusCommand,
    explain: explainCommand,
    recover: recoverCommand,
    adopt: adoptCommand,
    retry: retryCommand,
    unblock: unblockCommand,
    pair: pairCommand,
    gone: goneCommand,
    slots: slotsCommand,
  },
  groups: { slots: SLOTS_VERBS },
  lists: [
    'root',
    'tags',
    'window',
    'compatible',
    'slot-device',
    'log-unit',
    'component',
    'computers',
  ],
  inPlaceOf: (words, refusal) => {
    const instead = bootWords(words, process.stdin.isTTY);
    if (instead === null) return null;
    const problem = toProblem(refusal);
    const facts = { problem, instead: instead.join(' ') };
    makeCommandLog('drover-robot').warn(facts, 'options with a mistake are left out at boot');
    process.exitCode = 3;
    return instead;
  },
};
