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
    'another user or robot has the secret that this robot sent, as on a cloned card: remove the file of --out with .key behind its name (with --identity: next.key in that folder), and run the command again, which makes a new secret; the claim is still good',
  ),
  CSR_INVALID: refused(
    'operator',
    'send a PKCS #10 request in PEM that its own key has signed with SHA-256 and that names no other robot: drover-robot enrol --identity DIR makes one',
  ),
  CSR_KEY_REFUSED: refused(
    'operator',
    'make a key of another kind, such as openssl ecparam -name prime256v1 -genkey; the claim is still good',
  ),
  CERTIFICATES_OFF: refused(
    'operator',
    'start the broker with --enrol-ca-cert and --enrol-ca-key (drover-broker ca init makes both), or enrol without --identity',
  ),
  CERTIFICATE_NOT_DUE: refused(
    'operator',
    'nothing is wrong, unless the clock of the robot is; it asks again by itself',
    'later',
  ),
  CERTIFICATE_UNKNOWN: refused(
    'operator',
    'it was revoked, replaced or renewed since: drover-broker enrol list --data DIR; when this is the true robot, make a new claim with --replace and enrol it again',
  ),
  LINK_RENEWED: refused(
    'peer',
    'nothing to do: the robot ended its own link and connects again with the new certificate',
    'now',
  ),
  CERTIFICATE_FOREIGN: refused(
    'operator',
    'find out which authority signed it (openssl x509 -in FILE -noout -issuer) and which ones the broker takes (--client-ca, --enrol-ca-cert). When the authority of enrolment was changed, put the certificates of both into the file of --enrol-ca-cert (docs/enrolment.md, Change the authority); else make a new claim with --replace, or sign another certificate (docs/tls.md)',
    'later',
  ),
  CERTIFICATE_REFUSED: refused(
    'operator',
    'the log of the broker says why (TLS_CLIENT_REFUSED, CERTIFICATE_UNKNOWN, CERTIFICATE_FOREIGN: journalctl -u drover-broker). A robot that enrolled asks the broker as well, and shows the answer beside its certificate; drover-broker enrol list --data DIR shows whether it was revoked',
    'later',
  ),
  CERTIFICATE_TOO_OLD: refused(
    'operator',
    'make a new claim and enrol the robot again: drover-broker enrol --data DIR --robot ID --replace',
  ),
  CERTIFICATE_EXPIRING: refused(
    'operator',
    'the logs of the agent (journalctl -u drover-robot) and of the broker say why it cannot be renewed; a certificate that was made by hand is made again: docs/tls.md',
    'later',
  ),
  CERTIFICATE_EXPIRED: refused(
    'operator',
    'set the clock of the robot, if that is wrong; the logs of the agent (journalctl -u drover-robot) and of the broker say why it cannot be renewed; when it is too old for that, enrol the robot again with a new claim: docs/enrolment.md',
    'later',
  ),
  CERTIFICATE_CLOCK: refused(
    'operator',
    'set the clock of the machine that the message names: timedatectl',
    'later',
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
