/** The commands of `drover-robot`. */

import type { CommandLine } from '../../shared/io/command-line.ts';
import { adoptCommand } from './adopt.ts';
import { explainCommand } from './explain.ts';
import { recoverCommand } from './recover.ts';
import { retryCommand } from './retry.ts';
import { agentCommand } from './serve.ts';
import { slotsCommand, SLOTS_VERBS } from './slots.ts';
import { statusCommand } from './status.ts';
import { unblockCommand } from './unblock.ts';

export const ROBOT_PROGRAM: CommandLine = {
  program: 'drover-robot',
  does: 'updates this robot, and says what it is doing',
  main: agentCommand,
  commands: {
    status: statusCommand,
    explain: explainCommand,
    recover: recoverCommand,
    adopt: adoptCommand,
    retry: retryCommand,
    unblock: unblockCommand,
    slots: slotsCommand,
  },
  groups: { slots: SLOTS_VERBS },
  lists: ['root', 'tags', 'window', 'compatible', 'slot-device'],
};
