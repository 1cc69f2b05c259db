/** Codes of a robot of several computers: a part of the catalogue. Sans-I/O. */

import { refused, unreachable, usage } from './catalogue-entry.ts';

/** More about all of them. */
const PAGE = 'docs/members.md';

export const MEMBER_CODES = {
  PAIR_INVALID: usage(
    `make the pair file with drover-robot pair, readable by its owner alone, and put the same file on both computers (${PAGE})`,
  ),
  MEMBER_AWAY: unreachable(
    'see that the computer that the message names runs, and reaches --members-listen of the leader; nothing is switched in a set before it is back',
  ),
  LEADER_AWAY: unreachable(
    'see that the leader of this robot runs with --members and the file of this computer, and that --leader names its address; what runs goes on, and follows the leader when it is back',
  ),
  DECISION_LOST: refused(
    'operator',
    'wait until all computers of the robot are there: then their leader sees what was decided; a computer that is gone for good has to be replaced',
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
