/** The commands of `drover-broker`. */

import type { CommandLine } from '../../shared/io/command-line.ts';
import { aclCommand } from './acl.ts';
import { backupCommand } from './backup.ts';
import { CA_VERBS, caCommand } from './ca.ts';
import { enrolCommand, ENROL_VERBS } from './enrol.ts';
import { passwdCommand } from './passwd.ts';
import { repairCommand } from './repair.ts';
import { restoreCommand } from './restore.ts';
import { brokerCommand } from './serve.ts';

export const BROKER_PROGRAM: CommandLine = {
  program: 'drover-broker',
  does: 'carries signed updates to robots, and knows what each of them runs',
  main: brokerCommand,
  commands: {
    passwd: passwdCommand,
    enrol: enrolCommand,
    ca: caCommand,
    backup: backupCommand,
    repair: repairCommand,
    restore: restoreCommand,
    acl: aclCommand,
  },
  groups: { enrol: ENROL_VERBS, ca: CA_VERBS },
  lists: [
    'robot',
    'ids',
    'rollout-key',
    'rollout-key-command',
    'rollout-sign-command',
    'webhook',
    'webhook-secret-file',
    'ws-origin',
  ],
};
