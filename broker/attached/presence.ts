/**
 * Decides which robots are still online on an engine that forgets the wills of its connections when
 * it is killed: a robot that was online and has sent nothing for several heartbeats counts as
 * offline, until it sends again. An error makes a robot offline: a rollout then waits for a robot
 * that was there, and never counts on one that was not. Sans-I/O.
 */

import type { MonoMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export class Presence {
  readonly #heardMs = new Map<RobotId, MonoMs>();
  readonly #missed = new Set<RobotId>();
  /** Since when there has been a link; null without one, when no message can arrive. */
  #upSinceMs: MonoMs | null = null;

  up(now: MonoMs): void {
    this.#upSinceMs = now;
  }

  down(): void {
    this.#upSinceMs = null;
  }

  /** @returns true when it counted as offline */
  spoke(robot: RobotId, now: MonoMs): boolean {
    this.#heardMs.set(robot, now);
    return this.#missed.delete(robot);
  }

  /** The robot's own message or its will decides from now on. */
  told(robot: RobotId, online: boolean, now: MonoMs): void {
    this.#missed.delete(robot);
    if (online) this.#heardMs.set(robot, now);
    else this.#heardMs.delete(robot);
  }

  /** Of the robots that count as online, those that no longer do. */
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
  }
}
