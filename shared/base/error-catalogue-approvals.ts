/** Codes of approvals and of who may give them: a part of the catalogue. Sans-I/O. */

import { refused } from './catalogue-entry.ts';

/** More about those that are about keys. */
const PAGE = 'docs/rollouts.md';

export const APPROVAL_CODES = {
  APPROVAL_TOO_EARLY: refused(
    'operator',
    'drover rollout status ID says what the wave waits for and whether it needs a person at all: then approve when its gate has passed; to go on without evidence: drover rollout force-open ID --wave N --reason WHY',
    'later',
  ),
  APPROVER_IS_PUBLISHER: refused(
    'operator',
    'another user has to approve it: drover rollout status ID names who has and how many are missing',
  ),
  APPROVER_UNKNOWN: refused(
    'operator',
    'users are those of the file that drover-broker --credentials reads: approve with the token of one (--token-file), on a broker that has such a file',
  ),
  APPROVERS_UNSUPPORTED: refused(
    'operator',
    'let the broker that leads have --credentials with a user for each person, and a version that counts users; or leave --approvers out: then one person approves',
  ),
  APPROVAL_UNSIGNED: refused(
    'operator',
    `add the key of this user to the command: --key FILE, --key-command or --sign-command; the page cannot sign (${PAGE})`,
  ),
  APPROVAL_KEY_WRONG: refused(
    'operator',
    `give the key of the user that the token names, or none where that user has none; drover-broker approval-key list --file FILE says which key is whose, and set gives a user another one (${PAGE})`,
  ),
  APPROVAL_INVALID: refused(
    'operator',
    `run the command again: it signs anew; a program that signs by itself finds the form of the document through ${PAGE}`,
  ),
  APPROVAL_OF_ANOTHER: refused(
    'operator',
    'read what is asked now (drover rollout status ID), then run the command again: it signs that; a signature never counts for another user, rollout, release or wave',
  ),
  APPROVAL_CLOCK: refused(
    'operator',
    'set the clock of the machine that signed, or of the broker (timedatectl), and run the command again; a signature that was kept for longer than an hour counts no more',
    'later',
  ),
} as const;
