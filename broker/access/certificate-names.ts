/**
 * Who a client certificate names. A certificate that its authority signed for a robot says
 * which robot it is, and nothing else: people and publishers have credentials.
 * Sans-I/O.
 */

import { isRobotId } from '../../shared/base/ids.ts';
import type { Identity } from './access.ts';

/** As Node's TLS shows a verified certificate. */
export interface CertificateNames {
  /** Common name; a list when the certificate has several. */
  readonly commonName: string | readonly string[] | undefined;
  /** `DNS:r1, IP Address:10.0.0.7`; a name with odd characters is in double quotes. */
  readonly subjectAltName: string | undefined;
}

/**
 * The common name when it is a robot id, else the only DNS name among the alternative names.
 * @returns null when the certificate names no robot, or more than one
 */
export function robotOfCertificate(names: CertificateNames): Identity | null {
  const { commonName } = names;
  const candidates =
    typeof commonName === 'string' && isRobotId(commonName)
      ? [commonName]
      : dnsNames(names.subjectAltName ?? '');
  const [robot, ...others] = candidates;
  if (robot === undefined || others.length > 0 || !isRobotId(robot)) return null;
  return { kind: 'user', username: robot, role: 'robot', robot };
}

/** A quoted name could hide a second one in its text: none of ours needs quotes. */
function dnsNames(subjectAltName: string): string[] {
  if (subjectAltName.includes('"')) return [];
  return subjectAltName
    .split(', ')
    .flatMap((one) => (one.startsWith('DNS:') ? [one.slice('DNS:'.length)] : []));
}
