/** Reads the trust.json of a command, and refuses an expired one. */

import { readTrustFile } from '../../shared/io/trust-file.ts';
import { assertTrustCurrent, type TrustRoot } from '../../shared/formats/trust.ts';

/** @throws DroverError FILE_UNREADABLE, TRUST_INVALID, JSON_INVALID, TRUST_EXPIRED */
export function readTrust(path: string): TrustRoot {
  const trust = readTrustFile(path);
  assertTrustCurrent(trust, Date.now());
  return trust;
}
