/**
 * The broker's certificate, its key, and the authorities of robot certificates. Renewed files are
 * loaded by themselves: new connections use them, and existing connections stay. Files that do not
 * fit together (half of a renewal) change nothing and are logged.
 */

import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { robotOfCertificate, type Identity } from './access.ts';
import type { EnrolledCertificates } from './enrolled-certificates.ts';
import { whyRefused } from './why-refused.ts';

export interface CertificateFiles {
  /** PEM: the server's certificate, then those between it and its authority. */
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM: the authority of robot certificates; null when robots show none. */
  readonly clientCaFile: string | null;
}

/** A server whose certificate can be replaced while it runs. */
interface Renewable {
  setSecureContext(options: SecureContextOptions): void;
}

export class Certificates {
  readonly #files: CertificateFiles;
  readonly #enrolled: EnrolledCertificates | null;
  readonly #log: Log;
  readonly #servers: Renewable[] = [];
  #contents: SecureContextOptions;

  private constructor(files: CertificateFiles, enrolled: EnrolledCertificates | null, log: Log) {
    this.#files = files;
    this.#enrolled = enrolled;
    this.#log = log;
    this.#contents = readContents(files, enrolled);
  }

  /**
   * @param enrolled null where robots get no certificates by enrolment
   * @throws DroverError TLS_INVALID
   */
  static open(
    files: CertificateFiles,
    enrolled: EnrolledCertificates | null,
    log: Log,
  ): Certificates {
    if (enrolled) assertOther(files, enrolled);
    const certificates = new Certificates(files, enrolled, log);
    const watch = { interval: LIMITS.certificateLookMs, persistent: false };
    for (const path of certificates.#paths) watchFile(path, watch, () => certificates.#renew());
    return certificates;
  }

  get #paths(): string[] {
    const { certFile, keyFile, clientCaFile } = this.#files;
    return [certFile, keyFile, ...(clientCaFile === null ? [] : [clientCaFile])];
  }

  /** True when robots authenticate by certificate. */
  get asksClients(): boolean {
    return this.#files.clientCaFile !== null || this.#enrolled !== null;
  }

  /** For a server of any protocol; it does not decide who is let in. */
  get serverOptions() {
    return {
      ...this.#contents,
      minVersion: 'TLSv1.2',
      requestCert: this.asksClients,
      // A client without a certificate may have a credential; an invalid certificate is refused
      // below.
      rejectUnauthorized: false,
      handshakeTimeout: LIMITS.connectTimeoutMs,
    } as const;
  }

  /** Replaces this server's certificate whenever the files are renewed. */
  keepFresh(server: Renewable): void {
    this.#servers.push(server);
  }

  /**
   * @returns null for a client that showed no certificate
   * @throws DroverError TLS_CLIENT_REFUSED for one that is invalid, or names no robot;
   *   CERTIFICATE_UNKNOWN for one of an enrolled robot that is not good any more,
   *   CERTIFICATE_FOREIGN for one that another authority of enrolment signed
   */
  identityOf(socket: TLSSocket): Identity | null {
    if (!this.asksClients) return null;
    const shown = socket.getPeerCertificate();
    if (Object.keys(shown).length === 0) return null;
    const commonName = (shown.subject as { CN?: string | string[] } | undefined)?.CN;
    const name = String(commonName ?? shown.subjectaltname ?? 'without a name').slice(0, 100);
    const certificate = socket.getPeerX509Certificate();
    if (!socket.authorized) {
      const reason = String(socket.authorizationError);
      throw whyRefused({ name, reason, certificate, enrolled: this.#enrolled });
    }
    if (certificate && this.#enrolled?.hasSigned(certificate) === true) {
      const enrolled = this.#enrolled.admit(certificate);
      if (enrolled) return enrolled;
      const why = 'it was revoked, replaced or renewed since';
      throw new DroverError('CERTIFICATE_UNKNOWN', `admit certificate of ${name}: ${why}`);
    }
    const identity = robotOfCertificate({ commonName, subjectAltName: shown.subjectaltname });
    if (identity) return identity;
    throw new DroverError('TLS_CLIENT_REFUSED', `admit certificate of ${name}: it names no robot`);
  }

  /** False for the certificate of an enrolled robot that is not good any more. */
  isCurrent(identity: Identity): boolean {
    return this.#enrolled?.isCurrent(identity) ?? true;
  }

  close(): void {
    for (const path of this.#paths) unwatchFile(path);
  }

  #renew(): void {
    try {
      this.#contents = readContents(this.#files, this.#enrolled);
    } catch (error) {
      // The other half may follow soon; until then the old certificate is used.
      this.#log.error({ error: String(error) }, 'renewed certificate not taken, the old one stays');
      return;
    }
    for (const server of this.#servers) server.setSecureContext(this.#contents);
    this.#log.info({ cert: this.#files.certFile }, 'certificate renewed');
  }
}

/** Its certificates that were made by hand would be refused, since no robot enrolled for them. */
function assertOther(
  { clientCaFile }: CertificateFiles,
  { authorities }: EnrolledCertificates,
): void {
  if (clientCaFile === null) return;
  const text = readFile('authority of clients', clientCaFile).toString('latin1');
  const own = authorities.find((one) => text.includes(one.toString().trim()));
  if (!own) return;
  const why = '--client-ca names the authority of --enrol-ca-cert';
  throw new DroverError('TLS_INVALID', `use ${clientCaFile}: ${why}`, {
    hint: 'enrolment needs an authority of its own: drover-broker ca init makes it',
  });
}

function readFile(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('TLS_INVALID', `read ${what}: ${why}`, { cause });
  }
}

function readContents(
  files: CertificateFiles,
  enrolled: EnrolledCertificates | null,
): SecureContextOptions {
  const { certFile, keyFile, clientCaFile } = files;
  const authorities = [
    ...(clientCaFile === null ? [] : [readFile('authority of clients', clientCaFile)]),
    ...(enrolled?.authorities ?? []).map((one) => one.toString()),
  ];
  const contents = {
    cert: readFile('certificate', certFile),
    key: readFile('key of the certificate', keyFile),
    ...(authorities.length > 0 && { ca: authorities }),
  };
  try {
    createSecureContext(contents);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('TLS_INVALID', `use ${certFile} with ${keyFile}: ${why}`, { cause });
  }
  return contents;
}
