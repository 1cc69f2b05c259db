/**
 * The broker's certificate, its key, and the authority of robot certificates. Renewed files are
 * loaded by themselves: new connections use them, and existing connections stay. Files that do not
 * fit together (half of a renewal) change nothing and are logged.
 */

import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { robotOfCertificate, type Identity } from './access.ts';

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
  readonly #log: Log;
  readonly #servers: Renewable[] = [];
  #contents: SecureContextOptions;

  private constructor(files: CertificateFiles, log: Log) {
    this.#files = files;
    this.#log = log;
    this.#contents = readContents(files);
  }

  /** @throws DroverError TLS_INVALID */
  static open(files: CertificateFiles, log: Log): Certificates {
    const certificates = new Certificates(files, log);
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
    return this.#files.clientCaFile !== null;
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
   * @throws DroverError TLS_CLIENT_REFUSED for one that is invalid, or names no robot
   */
  identityOf(socket: TLSSocket): Identity | null {
    if (!this.asksClients) return null;
    const shown = socket.getPeerCertificate();
    if (Object.keys(shown).length === 0) return null;
    const commonName = (shown.subject as { CN?: string | string[] } | undefined)?.CN;
    const name = String(commonName ?? shown.subjectaltname ?? 'without a name').slice(0, 100);
    if (!socket.authorized) {
      const why = String(socket.authorizationError);
      throw new DroverError('TLS_CLIENT_REFUSED', `admit certificate of ${name}: ${why}`);
    }
    const identity = robotOfCertificate({ commonName, subjectAltName: shown.subjectaltname });
    if (identity) return identity;
    throw new DroverError('TLS_CLIENT_REFUSED', `admit certificate of ${name}: it names no robot`);
  }

  close(): void {
    for (const path of this.#paths) unwatchFile(path);
  }

  #renew(): void {
    try {
      this.#contents = readContents(this.#files);
    } catch (error) {
      // The other half may follow soon; until then the old certificate is used.
      this.#log.error({ error: String(error) }, 'renewed certificate not taken, the old one stays');
      return;
    }
    for (const server of this.#servers) server.setSecureContext(this.#contents);
    this.#log.info({ cert: this.#files.certFile }, 'certificate renewed');
  }
}

function readContents(files: CertificateFiles): SecureContextOptions {
  const read = (what: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DroverError('TLS_INVALID', `read ${what}: ${why}`, { cause });
    }
  };
  const { certFile, keyFile, clientCaFile } = files;
  const contents = {
    cert: read('certificate', certFile),
    key: read('key of the certificate', keyFile),
    ...(clientCaFile === null ? {} : { ca: read('authority of clients', clientCaFile) }),
  };
  try {
    createSecureContext(contents);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('TLS_INVALID', `use ${certFile} with ${keyFile}: ${why}`, { cause });
  }
  return contents;
}
