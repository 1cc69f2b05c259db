/**
 * Explains why a link to a broker could not be made, by the codes of Node and OpenSSL. Their own
 * messages name a rule of TLS; the person who reads this wants to know which of the two sides does
 * not trust the other one, and which option or command changes that.
 */

import { readFileSync } from 'node:fs';
import type { ErrorCode } from '../base/error-catalogue.ts';
import { DroverError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import type { LinkProgram } from '../formats/client-ids.ts';

/** An error of a socket, of TLS or of an HTTP request. */
export interface RawFailure {
  readonly message: string;
  readonly code?: unknown;
  /** The certificate of the broker, for one whose names do not fit. */
  readonly cert?: {
    readonly subject?: { readonly CN?: string };
    readonly subjectaltname?: string;
  };
}

export interface LinkFacts {
  /** As messages show it. */
  readonly url: string;
  /** As in `reach broker`. */
  readonly doing: string;
  /** True for a client that has a certificate. */
  readonly isCertified: boolean;
  /** True for a client that gives a user name, perhaps beside a certificate. */
  readonly hasUser: boolean;
  /** The program that reads the hints. */
  readonly program: LinkProgram;
}

const TEXT_CHARS_MAX = 300;
/** TLS alerts (RFC 8446 §6.2) about the certificate of the client, as OpenSSL names them. */
const ALERTS: ReadonlyMap<string, readonly [ErrorCode, string]> = new Map([
  ['CERTIFICATE_REVOKED', ['CERTIFICATE_UNKNOWN', 'the broker says that it was revoked']],
  ['CERTIFICATE_EXPIRED', ['CERTIFICATE_EXPIRED', 'the broker says that it has expired']],
  ['UNKNOWN_CA', ['CERTIFICATE_FOREIGN', 'the broker does not know the authority that signed it']],
  ['CERTIFICATE_UNKNOWN', ['CERTIFICATE_REFUSED', 'the broker does not take it']],
  ['BAD_CERTIFICATE', ['CERTIFICATE_REFUSED', 'the broker does not take it']],
  ['UNSUPPORTED_CERTIFICATE', ['CERTIFICATE_REFUSED', 'the broker does not take its kind']],
  ['ACCESS_DENIED', ['CERTIFICATE_REFUSED', 'the broker does not take it']],
]);
const ALERT = /_ALERT_([A-Z_]+)$/;
/** CONNACK code for a user or password that is wrong. */
const BAD_USER = 4;
/** CONNACK codes that another attempt does not change; others mean an unreachable broker. */
const ANSWERS: ReadonlyMap<unknown, ErrorCode> = new Map([
  [2, 'CLIENT_ID_REFUSED'],
  [BAD_USER, 'BROKER_AUTH_REFUSED'],
  [5, 'BROKER_AUTH_REFUSED'],
]);
/** Codes of Node for the certificate of the other side, by time. */
const OFF_TIME: readonly unknown[] = ['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'];
/** The same, for an authority that is not known here. */
export const OFF_AUTHORITY: readonly unknown[] = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];
/** The other side sent bytes that are no TLS. */
const NO_TLS: readonly unknown[] = ['ERR_SSL_WRONG_VERSION_NUMBER', 'EPROTO'];
/** The other side ended the link without an answer. */
const HUNG_UP: readonly unknown[] = ['ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE'];

/** True for a refusal that needs a person: another attempt with the same files gets it again. */
export const isLoginRefusal = (code: ErrorCode | undefined): boolean =>
  code !== undefined && (REFUSED_CERTIFICATE.has(code) || [...ANSWERS.values()].includes(code));

/** Codes that say that the broker does not take the certificate of this client. */
export const REFUSED_CERTIFICATE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CERTIFICATE_UNKNOWN',
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_FOREIGN',
  'CERTIFICATE_REFUSED',
]);

/** Null for an answer that is no refusal of a login. */
export function refusedConnack(
  { code: answer, message }: RawFailure,
  { url, isCertified, hasUser }: LinkFacts,
  clientId: string,
): DroverError | null {
  const code = ANSWERS.get(answer);
  if (code === undefined) return null;
  if (code === 'CLIENT_ID_REFUSED') {
    return new DroverError(code, `connect ${url}: the client id ${clientId} was refused`);
  }
  const isOfUser = !isCertified || (hasUser && answer === BAD_USER);
  if (isOfUser) return new DroverError(code, `connect ${url}: ${message}`);
  const or = hasUser ? ', or its user' : '';
  const why = `the broker does not take the certificate of this client${or}`;
  return new DroverError('CERTIFICATE_REFUSED', `connect ${url}: ${why}`);
}

/** Why there is no link, as a refusal with the step that repairs it. */
export function linkFailure(failure: RawFailure, facts: LinkFacts): DroverError {
  const { url, doing } = facts;
  const [, alert = ''] = ALERT.exec(String(failure.code)) ?? [];
  const [code, said] = ALERTS.get(alert) ?? [];
  if (code !== undefined) {
    return new DroverError(code, `${doing} ${url}: certificate of this client: ${said}`);
  }
  if (alert === 'CERTIFICATE_REQUIRED') {
    const why = 'it wants a certificate, and this client showed none';
    const hint = certificateHint(facts);
    return new DroverError('CERTIFICATE_REFUSED', `${doing} ${url}: ${why}`, { hint });
  }
  const [why, hint] = explained(failure, url);
  const text = `${doing} ${url}: ${printable(why, TEXT_CHARS_MAX)}`;
  return new DroverError('BROKER_UNREACHABLE', text, {
    cause: failure,
    ...(hint !== undefined && { hint }),
  });
}

/** Each program has other options for a certificate, or none at all. */
function certificateHint({ url, program }: LinkFacts): string {
  switch (program) {
    case 'robot':
      return 'give --identity (drover-robot enrol --identity makes one), or --cert and --key: docs/tls.md';
    case 'relay':
      return 'give --upstream-cert and --upstream-key: docs/tls.md';
    case 'attached broker':
      return 'drover-broker --engine has no certificate: name a listener of the engine that asks for none, and give --engine-username and --engine-password-file: docs/tls.md';
    case 'drover':
      return url.startsWith('http')
        ? 'drover has no certificate: name an address of the HTTP API that asks for none with --api or --url, and give --token-file: docs/tls.md'
        : 'drover has no certificate: name a listener of the broker that asks for none with --broker (of mosquitto: one without require_certificate), and give --username and --password-file: docs/tls.md';
  }
}

/** A link that the broker ended without a reason, perhaps before it answered anything. */
export function closed(facts: LinkFacts, { wasUp }: { readonly wasUp: boolean }): DroverError {
  if (wasUp) return linkFailure({ message: 'connection closed' }, facts);
  const message = 'it closed the connection before it answered';
  return linkFailure({ message, code: 'ECONNRESET' }, facts);
}

/** The files of a link, read for each connection: they are renewed. @throws what reading throws */
export function readTls(files: {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  const { caFile, certFile, keyFile } = files;
  return {
    ...(caFile ? { ca: readFileSync(caFile) } : {}),
    ...(certFile ? { cert: readFileSync(certFile) } : {}),
    ...(keyFile ? { key: readFileSync(keyFile) } : {}),
  };
}

function explained(failure: RawFailure, url: string): [string, string?] {
  const { code, message } = failure;
  const said = message.trim() === '' ? String(code) : message.trim();
  if (OFF_TIME.includes(code)) {
    return [
      `${said}; the clock of this machine says ${new Date().toISOString()}`,
      'set the clock of this machine (chrony, systemd-timesyncd, or date), and look at the end of the certificate of the broker',
    ];
  }
  if (OFF_AUTHORITY.includes(code)) {
    return [
      `its certificate is of an authority that is not trusted here (${said})`,
      'give the authority that signed the certificate of the broker: --ca FILE (--engine-ca or --upstream-ca of drover-broker)',
    ];
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return wrongName(failure, url);
  if (NO_TLS.includes(code) && /wrong version number|packet length|http request/i.test(said)) {
    return [
      'this port does not speak TLS',
      `look for the port: a broker without --tls-cert has mqtt://, ws:// and http:// alone, and --mqtts, --ws and --http of one broker are three ports`,
    ];
  }
  if (HUNG_UP.includes(code) || said === 'socket hang up') return [said, portHint(url)];
  return [said];
}

function wrongName({ cert }: RawFailure, url: string): [string, string] {
  const host = URL.canParse(url) ? new URL(url).hostname : url;
  const names = cert?.subjectaltname ?? `CN=${cert?.subject?.CN ?? 'none'}`;
  return [
    `its certificate is not for ${host}, but for ${names}`,
    `name the broker as its certificate does, or make that for this name too: examples/tls/make-certs.sh server certs NAME ${host}`,
  ];
}

/** Brokers end a link without a word when it begins in another protocol than their port speaks. */
function portHint(url: string): string {
  const scheme = URL.canParse(url) ? new URL(url).protocol : '';
  const secure = { 'mqtt:': 'mqtts://', 'ws:': 'wss://', 'http:': 'https://' }[scheme];
  if (secure !== undefined) {
    return `write ${secure} when this port speaks TLS; else see that the broker runs: curl http://HOST:8080/healthz`;
  }
  const port = { 'mqtts:': '--mqtts', 'wss:': '--ws', 'https:': '--http' }[scheme] ?? 'its kind';
  return `see that this is the port of ${port} of the broker; its log says why it ends links: journalctl -u drover-broker`;
}
