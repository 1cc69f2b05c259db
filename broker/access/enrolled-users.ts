/**
 * Robots that enrolled: their ids and the hashes of the secrets that they made. The credentials
 * file counts before them, see live-credentials.ts. Sans-I/O.
 */

import { isSha256Hex, type RobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import type { Identity } from './access.ts';

export class EnrolledUsers {
  readonly #byName = new Map<string, { robot: RobotId; hash: Sha256Hex }>();
  readonly #byHash = new Map<Sha256Hex, RobotId>();

  /** @param hash SHA-256 of the secret of this robot; null when it may connect no more */
  set(robot: RobotId, hash: Sha256Hex | null): void {
    const before = this.#byName.get(robot);
    if (before) this.#byHash.delete(before.hash);
    if (hash === null) {
      this.#byName.delete(robot);
    } else {
      this.#byName.set(robot, { robot, hash });
      this.#byHash.set(hash, robot);
    }
  }

  /** Equal for equal credentials; null when there is no such robot. */
  describe(username: string): string | null {
    const user = this.#byName.get(username);
    return user ? `enrolled ${user.hash}` : null;
  }

  /**
   * The robot with this user name and this hash of a secret. Hashes are looked up: a timing leak
   * would not reveal the secret.
   */
  find(hash: string, username?: string): Identity | null {
    const robot = isSha256Hex(hash) ? this.#byHash.get(hash) : undefined;
    if (robot === undefined || (username !== undefined && username !== robot)) return null;
    return { kind: 'user', username: robot, role: 'robot', robot };
  }
}
