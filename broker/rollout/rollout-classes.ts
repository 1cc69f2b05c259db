/**
 * Classes of the robots of each rollout that is requested, for views and metrics: the robots
 * that changed since the last question are classified again, in slices between which the event loop
 * runs. It differs from the index of the
 * controller (rollout-index.ts), which remembers how a robot ended and whom it waits for: every
 * broker shows these, also one that leads nothing.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotRecord } from '../control/fleet.ts';
import type { Class } from './classify.ts';
import type { RobotSource } from './rollout-index.ts';
import type { ClassCounts, Classified } from './views.ts';

interface Kept {
  readonly rules: string;
  readonly classOf: Classified['classOf'];
  readonly classes: Map<RobotId, string>;
  readonly counts: Map<string, { one: Class; robots: number }>;
  /** Those that were there when it began, and how many of them it has taken. */
  readonly first: readonly RobotId[];
  at: number;
}

export interface WatchedRobots extends RobotSource {
  ids(): readonly RobotId[];
  watch(onChange: (robot: RobotId) => void): () => void;
}

export class RolloutClasses {
  readonly #robots: WatchedRobots;
  /** The one that was asked for last is last. */
  readonly #kept = new Map<string, Kept>();
  readonly #changed = new Set<RobotId>();
  readonly #unwatch: () => void;

  constructor(robots: WatchedRobots) {
    this.#robots = robots;
    this.#unwatch = robots.watch((robot) => {
      if (this.#kept.size > 0) this.#changed.add(robot);
    });
  }

  close(): void {
    this.#unwatch();
    this.#kept.clear();
    this.#changed.clear();
  }

  /** Takes all but a few changes into account, so that `of` answers at once. */
  async catchUp(rollouts: readonly Classified[]): Promise<void> {
    for (const one of rollouts) this.#keep(one);
    while (!this.#work(LIMITS.indexSliceRobots)) await nextTurn();
  }

  /** As of now. */
  of(rollout: Classified): ClassCounts {
    const kept = this.#keep(rollout);
    this.#work(Infinity);
    return [...kept.counts.values()].map(({ one, robots }) => [one, robots] as const);
  }

  #keep({ id, rules, classOf }: Classified): Kept {
    const known = this.#kept.get(id);
    this.#kept.delete(id);
    const isSame = known?.rules === rules;
    const first = isSame ? [] : this.#robots.ids();
    const kept = isSame
      ? known
      : { rules, classOf, classes: new Map(), counts: new Map(), first, at: 0 };
    this.#kept.set(id, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > LIMITS.countedRolloutsMax && oldest) this.#kept.delete(oldest);
    return kept;
  }

  /** @returns true when nothing is left */
  #work(max: number): boolean {
    let left = max;
    for (const robot of this.#changed) {
      if (left <= 0) return false;
      this.#changed.delete(robot);
      const record = this.#robots.get(robot);
      for (const kept of this.#kept.values()) take(kept, robot, record);
      left -= this.#kept.size;
    }
    for (const kept of this.#kept.values()) {
      for (; kept.at < kept.first.length; kept.at += 1, left -= 1) {
        if (left <= 0) return false;
        const robot = kept.first[kept.at] as RobotId;
        take(kept, robot, this.#robots.get(robot));
      }
    }
    return true;
  }
}

function take({ classOf, classes, counts }: Kept, robot: RobotId, record?: RobotRecord): void {
  const one = record ? classOf(record) : null;
  const key = one && `${one.kind} ${one.why}`;
  const before = classes.get(robot) ?? null;
  if (key === before) return;
  const known = before === null ? undefined : counts.get(before);
  if (known) known.robots -= 1;
  if (known?.robots === 0) counts.delete(before ?? '');
  if (!one || key === null) return void classes.delete(robot);
  classes.set(robot, key);
  const now = counts.get(key);
  if (now) now.robots += 1;
  else counts.set(key, { one: { kind: one.kind, why: one.why }, robots: 1 });
}
