/** The part of the error catalogue on robots that enrol. Sans-I/O. */

import { refused, usage, type CatalogueEntry } from './catalogue-entry.ts';

export const ENROLMENT_CODES = {
  ENROLMENT_OFF: refused(
    'operator',
    'enrol at a drover-broker with --credentials whose HTTP port speaks TLS; on another engine give the robot a user of that engine: docs/enrolment.md',
  ),
  CLAIM_UNKNOWN: refused(
    'operator',
    'look for a typing error, and for the broker that made the claim: drover-broker enrol list --data DIR',
  ),
  CLAIM_EXPIRED: refused(
    'operator',
    'make a new one: drover-broker enrol --data DIR --robot ID --replace',
  ),
  CLAIM_USED: refused(
    'operator',
    'was it this robot, with a disk that has since been written again? Else somebody has copied the claim: drover-broker enrol revoke ID --data DIR ends that credential; then make a new claim with --replace',
  ),
  CLAIM_REVOKED: refused(
    'operator',
    'make a new one: drover-broker enrol --data DIR --robot ID --replace; a restore revokes all claims that were open',
  ),
  CLAIM_KEY_TAKEN: refused(
    'operator',
    'another user or robot has the secret that this robot sent, as on a cloned card: remove the file of --out with .key behind its name, and run the command again, which makes a new secret; the claim is still good',
  ),
  CLAIM_TRIES: refused(
    'operator',
    'wait a minute; too many unknown claims came from this address',
    'later',
  ),
  CLAIM_EXISTS: usage(
    'go on with --from N, or give --replace: new claims for the same robots, whose credentials change when they are used',
  ),
  ENROLMENT_PENDING: refused(
    'operator',
    'compare the key that is shown here with drover fleet enrolments, then drover fleet accept ID; run the command again, or give it --wait 1h',
    'later',
  ),
  CREDENTIAL_STAYS: refused(
    'operator',
    'take its user out of the credentials file, or its certificate out of use: drover-broker reads that file again by itself',
  ),
  ROBOT_NAME_TAKEN: refused(
    'operator',
    'the credentials file has a user of this name, which counts: remove it there, or enrol the robot under another id',
  ),
} as const satisfies Record<string, CatalogueEntry>;
