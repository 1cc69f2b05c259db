/** Codes of a robot of several computers: a part of the catalogue. Sans-I/O. */

import { refused, unreachable, usage } from './catalogue-entry.ts';

/** More about all of them. */
const PAGE = 'docs/members.md';

export const MEMBER_CODES = {
  PAIR_INVALID: usage(
    `make the pair file with drover-robot pair, readable by its owner alone, and put the same file on both computers (${PAGE})`,
  ),
  MEMBER_AWAY: unreachable(
    'see that the computer that the message names runs, and reaches --members-listen of the leader; nothing is switched in a set before it is back; when it is gone for good: drover-robot gone NAME on the leader',
  ),
  LEADER_AWAY: unreachable(
    'see that the leader of this robot runs with --members and the file of this computer, and that --leader names its address; what runs goes on, and follows the leader when it is back; one that is gone for good has to be replaced: any computer of the robot can lead (docs/members.md)',
  ),
  DECISION_LOST: refused(
    'operator',
    'wait until all computers of the robot are there: then their leader sees what was decided; a computer that is gone for good has to be replaced, or declared gone on the leader: drover-robot gone NAME',
    'later',
  ),
  MEMBER_GONE: refused(
    'operator',
    'remove its pair file from --members of the leader and restart the agent there; publish sets without its components from now on, or pair a computer in its place with an empty disk (drover-robot pair)',
    'later',
  ),
  MEMBER_PRESENT: refused(
    'operator',
    'switch it off for good first: a computer that is there follows the decision by itself; after a start of the leader each computer counts as there for some seconds',
    'later',
  ),
  MEMBERS_NONE: refused(
    'operator',
    'put the pair file of each other computer into the folder of --members, named NAME.json (drover-robot pair makes one), and restart the agent; or leave --members out on a robot of one computer',
    'later',
  ),
  MEMBER_TWICE: refused(
    'operator',
    'switch off the one that was replaced or copied, or make a pair file of its own for it (drover-robot pair); no set is switched before that',
    'later',
  ),
  LEADER_REFUSES: refused(
    'operator',
    'put the same pair file on both computers: --pair here, the folder of --members there, and restart the agent there; what runs goes on',
    'later',
  ),
  NO_LEADER_THERE: refused(
    'operator',
    'give --leader the address of --members-listen of the leader (not that of a broker), and see that no other program listens there',
    'later',
  ),
  COMPUTER_REFUSED: refused(
    'operator',
    'put the same pair file on both computers, restart the agent here, or switch the computer at that address off when it is none of this robot',
    'later',
  ),
  MEMBER_BEHIND: refused(
    'operator',
    'it catches up by itself while the set is announced: drover-robot status on its computer says what it waits for; else publish the set again with a higher version',
    'later',
  ),
  MEMBER_REFUSED: refused(
    'operator',
    'run the same version of drover-robot on all computers of the robot, with the same --id and --tags',
    'later',
  ),
  MEMBER_MESSAGE_INVALID: refused(
    'peer',
    'run the same version of drover-robot on all computers of the robot',
    'later',
  ),
} as const;
