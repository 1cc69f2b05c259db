/**
 * Decides which robots are still online on an engine that loses the wills of its connections when
 * it is killed. A robot that was online and has sent nothing for several heartbeats counts as
 * offline until it sends again. A robot whose retained `online` was cleared by another client
 * counts as online when it sends something. When this is wrong, it is wrong in the safe direction:
 * a rollout waits for a robot that is there, and never counts on one that is not. Sans-I/O.
 */

import type { MonoMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export class Presence {
  readonly #heardMs = new Map<RobotId, MonoMs>();
  readonly #missed = new Set<RobotId>();
  /** Robots whose own last message, or will, is that they are offline. */
  readonly #left = new Set<RobotId>();
  /**
   * Time since which there has been a link; null without one, because no message can arrive then.
   */
  #upSinceMs: MonoMs | null = null;

  up(now: MonoMs): void {
    this.#upSinceMs = now;
  }

  down(): void {
    this.#upSinceMs = null;
  }

  /**
   * Records a message that a robot sends now, other than `online`.
   * @returns true when the robot counts as online from now on, and did not before
   */
  spoke(robot: RobotId, now: MonoMs): boolean {
    const isUnknown = !this.#heardMs.has(robot) && !this.#left.has(robot);
    this.#heardMs.set(robot, now);
    return this.#missed.delete(robot) || isUnknown;
  }

  /** Records the robot's own message or its will; that message decides from now on. */
  told(robot: RobotId, online: boolean, now: MonoMs): void {
    this.#missed.delete(robot);
    if (online) {
      this.#heardMs.set(robot, now);
      this.#left.delete(robot);
    } else {
      this.#heardMs.delete(robot);
      this.#left.add(robot);
    }
  }

  /** Returns those of the online robots that count as offline now. */
  sweep(online: readonly RobotId[], now: MonoMs): RobotId[] {
    const since = this.#upSinceMs;
    if (since === null) return [];
    const gone = online.filter((robot) => {
      const heardMs = Math.max(since, this.#heardMs.get(robot) ?? since);
      return now - heardMs > LIMITS.presenceSilenceMs;
    });
    for (const robot of gone) {
      this.#heardMs.delete(robot);
      this.#missed.add(robot);
    }
    return gone;
  }

  forget(robot: RobotId): void {
    this.#heardMs.delete(robot);
    this.#missed.delete(robot);
    this.#left.delete(robot);
  }
}
