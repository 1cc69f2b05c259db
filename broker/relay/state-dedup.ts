/**
 * Decides which states of robots go upstream, and when. Only the latest state of a robot counts. A
 * change of version, phase or problem goes up at once, progress and counters at intervals, so that
 * the reports of a site do not crowd out its chunks. It handles robots and instants, no bytes.
 * Sans-I/O.
 */

import type { MonoMs, RobotId } from '../../shared/base/ids.ts';
import type { RobotState } from '../../shared/formats/messages.ts';

/** The part of a state whose change goes up at once. */
export function newsOf(state: RobotState): string {
  const parts = state.components.map((one) => [
    ...[one.name, one.version, one.phase, one.rollout, one.target_version],
    ...[one.last_error?.code, one.last_update?.ended_at, one.waiting_for],
  ]);
  return JSON.stringify([state.counter_epoch, state.instance, parts]);
}

interface Told {
  readonly atMs: MonoMs;
  readonly news: string | null;
}

export class ReportBook {
  readonly #everyMs: number;
  /** The last state of each robot that the upstream has acknowledged. */
  readonly #told = new Map<RobotId, Told>();
  readonly #dueMs = new Map<RobotId, MonoMs>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** Robots with an unsent change, due or not. */
  get waiting(): number {
    return this.#dueMs.size;
  }

  /** @param news null for a robot that is taken out of service */
  changed(robot: RobotId, news: string | null, now: MonoMs): void {
    const told = this.#told.get(robot);
    const dueMs = !told || told.news !== news ? now : told.atMs + this.#everyMs;
    this.#dueMs.set(robot, Math.min(dueMs, this.#dueMs.get(robot) ?? Infinity));
  }

  /** Robots that are due, longest due first; they count as sent. */
  take(countMax: number, now: MonoMs): RobotId[] {
    const due = [...this.#dueMs].filter(([, dueMs]) => dueMs <= now);
    due.sort(([, a], [, b]) => a - b);
    const taken = due.slice(0, countMax).map(([robot]) => robot);
    for (const robot of taken) this.#dueMs.delete(robot);
    return taken;
  }

  /** The upstream acknowledged it. A change since `take` waits by itself. */
  told(robot: RobotId, news: string | null, now: MonoMs): void {
    if (news === null) this.#told.delete(robot);
    else this.#told.set(robot, { atMs: now, news });
  }

  /** Not acknowledged: due at once when the link is up again. */
  failed(robot: RobotId, now: MonoMs): void {
    this.#dueMs.set(robot, Math.min(now, this.#dueMs.get(robot) ?? Infinity));
  }
}
