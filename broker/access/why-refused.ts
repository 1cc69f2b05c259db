/**
 * Says why the certificate of a client is not taken, and what repairs it: OpenSSL has a code for
 * each rule, but the reader of a broker's log has to know which machine to go to. A robot that
 * enrolled renews its certificate, or needs a claim; one that was made by hand is signed again.
 */

import type { X509Certificate } from 'node:crypto';
import { instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';
import { OFF_AUTHORITY } from '../../shared/io/link-failure.ts';
import type { EnrolledCertificates } from './enrolled-certificates.ts';

export interface RefusedCertificate {
  /** As the client names itself. */
  readonly name: string;
  /** Code of OpenSSL. */
  readonly reason: string;
  readonly certificate: X509Certificate | undefined;
  /** Null where robots get no certificates by enrolment. */
  readonly enrolled: EnrolledCertificates | null;
}

const NAME_CHARS_MAX = 100;
const ENDED =
  'a robot that enrolled renews it by itself over the HTTPS port of this broker, up to 90 days after its end: its log says why it has not (journalctl -u drover-robot); after that make a new claim with --replace';
const SIGN_AGAIN = "have the site's authority (--client-ca) sign another one: docs/tls.md";
const AUTHORITY =
  'make another certificate of the authority (openssl x509 -in FILE -noout -enddate shows each), and put it into the file of --client-ca or --enrol-ca-cert: docs/enrolment.md, Change the authority';
const CLOCK =
  'set the clock of this machine (timedatectl), or of the one that made the certificate';

/** The refusal of a certificate that TLS did not take. */
export function whyRefused(refused: RefusedCertificate): DroverError {
  const { name, reason, certificate, enrolled } = refused;
  const say = (why: string, hint?: string): DroverError => {
    const text = `admit certificate of ${printable(name, NAME_CHARS_MAX)}: ${why}`;
    return new DroverError('TLS_CLIENT_REFUSED', text, hint === undefined ? {} : { hint });
  };
  const isOurs = certificate !== undefined && enrolled?.hasSigned(certificate) === true;
  if (certificate && !isOurs && enrolled?.lists(certificate) === true) {
    const why = 'this robot enrolled here, and another authority than that of now signed it';
    return new DroverError('CERTIFICATE_FOREIGN', `admit certificate of ${name}: ${why}`);
  }
  const now = Date.now();
  const clock = `the clock of this broker says ${instantText(now)}`;
  const [begin, end] = [certificate?.validFrom, certificate?.validTo].map((one) =>
    Date.parse(one ?? ''),
  ) as [number, number];
  // OpenSSL names the last rule that was broken by any certificate of the chain.
  if (reason === 'CERT_HAS_EXPIRED') {
    if (end > now) return say(`an authority that signed it has ended, ${clock}`, AUTHORITY);
    return say(`it ended at ${instantText(end)}, ${clock}`, isOurs ? ENDED : SIGN_AGAIN);
  }
  if (reason === 'CERT_NOT_YET_VALID') {
    if (begin < now) return say(`an authority that signed it begins later, ${clock}`, CLOCK);
    return say(`it begins at ${instantText(begin)}, ${clock}`, CLOCK);
  }
  if (OFF_AUTHORITY.includes(reason)) {
    const issuer = printable(certificate?.issuer ?? 'unknown', NAME_CHARS_MAX);
    const hint = `${SIGN_AGAIN}; a robot that enrols gets one with a claim: docs/enrolment.md`;
    return say(`no authority that this broker takes has signed it (issuer ${issuer})`, hint);
  }
  if (reason === 'INVALID_PURPOSE') {
    return say(
      'it is not for clients (want extendedKeyUsage clientAuth)',
      'sign one that is made for clients: examples/tls/make-certs.sh robot certs ID',
    );
  }
  return say(reason);
}
