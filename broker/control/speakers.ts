/**
 * Remembers which connection reported a robot as online, so that the robot does not count as online
 * when that connection is gone, with or without a will. Only a relay reports for other robots:
 * `via` in a message of a robot itself is ignored. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { RELAY_CLIENT_PREFIX, robotClientId } from '../../shared/formats/client-ids.ts';
import type { Identity } from '../access/access.ts';

export interface SpokenBy {
  /** The connection object. */
  readonly key: object;
  readonly clientId: string;
  readonly identity: Identity;
}

/** `unknown`: a bridge, or any client of a broker without credentials. */
type Voice = 'own' | 'relay' | 'unknown';

export function voiceFor({ identity, clientId }: SpokenBy, robot: RobotId): Voice {
  if (identity.kind === 'user') {
    const { role } = identity;
    return role === 'robot' ? 'own' : role === 'relay' ? 'relay' : 'unknown';
  }
  if (clientId === robotClientId(robot)) return 'own';
  return clientId.startsWith(RELAY_CLIENT_PREFIX) ? 'relay' : 'unknown';
}

export class Speakers {
  /** The connection over which each robot itself last reported that it is online. */
  readonly #of = new Map<RobotId, object>();
  readonly #robots = new WeakMap<object, RobotId>();
  readonly #left = new WeakSet<object>();

  /**
   * @param by null for the will of a connection of an earlier process
   * @returns true when the robot itself sent it
   * @throws DroverError ACCESS_DENIED for a will that reports its robot as online
   */
  said(robot: RobotId, online: boolean, by: SpokenBy | null): boolean {
    const isOver = by === null || this.#left.has(by.key);
    if (online && isOver) {
      const why = 'a connection that has ended cannot say that its robot is there';
      throw new DroverError('ACCESS_DENIED', `publish online of ${robot}: ${why}`);
    }
    const isOwn = by !== null && voiceFor(by, robot) === 'own';
    if (!isOwn || !online) {
      this.#of.delete(robot);
      return isOwn;
    }
    this.#of.set(robot, by.key);
    this.#robots.set(by.key, robot);
    return true;
  }

  /** @returns the robot whose presence came over this connection alone, else null */
  leave(key: object): RobotId | null {
    this.#left.add(key);
    const robot = this.#robots.get(key) ?? null;
    return robot !== null && this.isLast(robot, key) ? robot : null;
  }

  /** True when no other connection has reported its presence since. */
  isLast(robot: RobotId, key: object): boolean {
    return this.#of.get(robot) === key;
  }
}
