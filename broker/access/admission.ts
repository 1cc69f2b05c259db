/** Credentials and certificates, which decide together who may connect. */

import type { Log } from '../../shared/base/ports.ts';
import type { Closers } from '../../shared/io/closers.ts';
import { Certificates, type CertificateFiles } from './certificates.ts';
import { LiveCredentials } from './live-credentials.ts';

export interface Admission {
  readonly credentials: LiveCredentials | null;
  readonly certificates: Certificates | null;
}

/** @throws DroverError FILE_UNREADABLE, CREDENTIALS_INVALID */
export async function openAdmission(
  files: {
    readonly credentialsFile: string | null;
    readonly certificateFiles: CertificateFiles | null;
    readonly log: Log;
  },
  closers: Closers,
): Promise<Admission> {
  const { credentialsFile, certificateFiles, log } = files;
  const credentials =
    credentialsFile === null
      ? null
      : closers.with(await LiveCredentials.open(credentialsFile, log));
  const certificates = certificateFiles && closers.with(Certificates.open(certificateFiles, log));
  return { credentials, certificates };
}
