/** Which robots a wave includes, decided on the robot itself. Sans-I/O. */

import { utf8 } from '../crypto/bytes.ts';
import { sha256 } from '../crypto/hash.ts';
import type { RobotId } from '../base/ids.ts';

/**
 * First 53 bits of SHA-256(salt || 0x00 || robot id) / 2^53: uniform in [0, 1), the same for ever,
 * so a wave that widens only ever adds robots.
 */
export function cohortFraction(salt: string, robot: RobotId): number {
  const digest = sha256(utf8(`${salt}\0${robot}`));
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  const high = view.getUint32(0);
  const low = view.getUint32(4) >>> 11;
  return (high * 2 ** 21 + low) / 2 ** 53;
}
