/**
 * The MQTT client id of a robot: brokers with credentials keep it for that robot alone.
 * Sans-I/O.
 */

import { utf8 } from '../crypto/bytes.ts';
import { sha256Hex } from '../crypto/hash.ts';
import type { RobotId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

export const ROBOT_CLIENT_PREFIX = 'robot-';

/** It must fit a topic level; a robot id that leaves no room for the prefix is hashed. */
export function robotClientId(robot: RobotId): string {
  const plain = `${ROBOT_CLIENT_PREFIX}${robot}`;
  return plain.length <= LIMITS.idLengthMax
    ? plain
    : `${ROBOT_CLIENT_PREFIX}${sha256Hex(utf8(robot)).slice(0, 32)}`;
}
