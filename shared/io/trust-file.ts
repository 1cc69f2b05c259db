/**
 * The two files of a trust root, as people name them on a command line: trust.json, and beside it
 * the update that robots follow to it. Each is easily taken for the other.
 */

import { peekTrustUpdate } from '../formats/trust-chain.ts';
import { parseTrust, type TrustRoot } from '../formats/trust.ts';
import { parseNamed } from '../rules/file-kinds.ts';
import { readInput } from './cli.ts';

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
