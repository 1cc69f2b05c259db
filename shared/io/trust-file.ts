/**
 * Files that a command line names and that say what is trusted: trust.json, the update beside it
 * that robots follow to it, and the policy of the transparency log. The first two are easily taken
 * for each other.
 */

import { peekTrustUpdate } from '../formats/trust-chain.ts';
import { parseTrust, type TrustRoot, assertTrustCurrent } from '../formats/trust.ts';
import { parseNamed } from '../rules/file-kinds.ts';
import { readInput, writeNote } from './cli.ts';
import { unsafeLine } from './owned-file.ts';
import { parseLogPolicy, type LogPolicy } from '../tlog/policy.ts';

const SUFFIX = '.update';

/** Returns the path of the signed update beside a trust file, which `trust publish` takes. */
export const updatePath = (trustPath: string): string => `${trustPath}${SUFFIX}`;

/**
 * An expired root is accepted: an update is the way back from that.
 * @throws DroverError FILE_UNREADABLE, TRUST_INVALID, JSON_INVALID, DOCUMENT_TOO_LARGE
 */
export function readTrustFile(path: string): TrustRoot {
  const wanted = {
    ...({ kind: 'trust.json', path } as const),
    hint: (got: string | null): string =>
      got === 'update of trust.json' && path.endsWith(SUFFIX)
        ? `name ${path.slice(0, -SUFFIX.length)}, the trust.json that it leads to`
        : 'name the trust.json that drover trust init or drover trust rotate wrote',
  };
  return parseNamed(wanted, readInput(path, `trust file ${path}`), parseTrust);
}

/**
 * For a command of a publisher: an expired root is refused, and one that others may change is
 * warned of.
 * @throws DroverError FILE_UNREADABLE, TRUST_INVALID, JSON_INVALID, TRUST_EXPIRED
 */
export function readTrust(path: string): TrustRoot {
  const trust = readTrustFile(path);
  const line = unsafeLine(path, 'trust file');
  if (line !== null) writeNote(`drover: warning: ${line}`);
  assertTrustCurrent(trust, Date.now());
  return trust;
}

export interface TrustUpdateFile {
  readonly bytes: Uint8Array;
  /** The root in it; its signatures are NOT checked. */
  readonly next: TrustRoot;
}

/** @throws DroverError FILE_UNREADABLE, ENVELOPE_*, TRUST_INVALID, JSON_INVALID */
export function readUpdateFile(path: string): TrustUpdateFile {
  const bytes = readInput(path, `trust update ${path}`);
  const wanted = {
    ...({ kind: 'update of trust.json', path } as const),
    hint: (got: string | null): string =>
      got === 'trust.json'
        ? `name ${updatePath(path)}, which drover trust rotate wrote beside it`
        : 'name the file OUT.update that drover trust rotate --out OUT wrote',
  };
  return { bytes, next: parseNamed(wanted, bytes, peekTrustUpdate) };
}

/** @throws DroverError FILE_UNREADABLE, DOCUMENT_TOO_LARGE, LOG_POLICY_INVALID */
export const readLogPolicy = (path: string): LogPolicy =>
  parseLogPolicy(readInput(path, `log policy ${path}`));
