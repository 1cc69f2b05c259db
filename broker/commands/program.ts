/** The commands of `drover-broker`. */

import type { CommandLine } from '../../shared/io/command-line.ts';
import { aclCommand } from './acl.ts';
import { APPROVAL_KEY_VERBS, approvalKeyCommand } from './approval-key.ts';
import { backupCommand, repairCommand, restoreCommand } from './backup.ts';
import { CA_VERBS, caCommand } from './ca.ts';
import { enrolCommand, ENROL_VERBS } from './enrol.ts';
import { passwdCommand } from './passwd.ts';
import { brokerCommand } from './serve.ts';

export const BROKER_PROGRAM: CommandLine = {
  program: 'drover-broker',
  does: 'carries signed updates to robots, and knows what each of them runs',
  main: brokerCommand,
  commands: {
    passwd: passwdCommand,
    'approval-key': approvalKeyCommand,
    enrol: enrolCommand,
    ca: caCommand,
    backup: backupCommand,
    repair: repairCommand,
    restore: restoreCommand,
    acl: aclCommand,
  },
  groups: { 'approval-key': APPROVAL_KEY_VERBS, enrol: ENROL_VERBS, ca: CA_VERBS },
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
