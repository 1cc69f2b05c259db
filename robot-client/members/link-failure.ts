/**
 * Why a member has no link to its leader, in words that tell one that refuses it from one that is
 * away: TLS has an alert for each, and its own text is nothing for people. Sans-I/O.
 */

import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { oneLine } from '../../shared/base/printable.ts';

/** Longest reason of the system that is shown. */
const REASON_CHARS_MAX = 200;

/** The leader runs, and has another secret for this name, or none: a stranger learns no name. */
const WRONG_SECRET = /alert (?:bad record mac|decrypt error|decryption failed)/;
/** Of an older leader. */
const UNKNOWN_NAME = /alert unknown psk identity/;
/** Something answers there, and speaks no TLS, or not that of a leader. */
const NO_LEADER = /:SSL routines:|secure TLS connection was established|Parse Error/;

/**
 * @param cause of the request that failed; null when no answer came in time
 * @returns LEADER_REFUSES, NO_LEADER_THERE or LEADER_AWAY
 */
export function leaderLinkFailure(
  cause: unknown,
  { computer }: { readonly computer: string },
  { host, port }: { readonly host: string; readonly port: number },
): DroverError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const failed = (code: ErrorCode, why: string): DroverError => {
    const message = `reach the leader of this robot at ${host}:${port}: ${why}`;
    return new DroverError(code, message, { cause });
  };
  if (cause === null) return failed('LEADER_AWAY', 'no answer');
  if (WRONG_SECRET.test(text)) {
    const why = `it refuses computer ${computer}: the secret here is not the one of its pair file there, or there is none`;
    return failed('LEADER_REFUSES', why);
  }
  if (UNKNOWN_NAME.test(text)) {
    return failed('LEADER_REFUSES', `it has no pair file of a computer ${computer}`);
  }
  if (NO_LEADER.test(text)) {
    return failed('NO_LEADER_THERE', 'what answers there is no leader of a robot');
  }
  return failed('LEADER_AWAY', oneLine(text, REASON_CHARS_MAX));
}
