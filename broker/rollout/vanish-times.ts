/**
 * Robots that left in mid-update: the only members whose class changes with time alone. Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { isOverdue, seenMs, type Member, type MemberContext } from './classify.ts';

interface Away {
  readonly seenMs: EpochMs;
  readonly isVanished: boolean;
}

export class VanishTimes {
  readonly #away = new Map<RobotId, Away>();
  /** Of those that have not vanished, the one that was seen first; of the others, the last. */
  #firstMs: EpochMs = Infinity;
  #lastMs: EpochMs = -Infinity;
  #isSorted = true;

  note(
    robot: RobotId,
    member: Member | null,
    record: RobotRecord | undefined,
    { watchedSinceMs }: Pick<MemberContext, 'watchedSinceMs'>,
  ): void {
    const isVanished = member?.kind === 'vanished';
    if (!record || record.online || (!isVanished && member?.kind !== 'updating')) {
      if (this.#away.delete(robot)) this.#isSorted = false;
      return;
    }
    this.#away.set(robot, { seenMs: seenMs(record, watchedSinceMs), isVanished });
    this.#isSorted = false;
  }

  all(): Iterable<RobotId> {
    return this.#away.keys();
  }

  /** Those whose class has changed with the time, also with a clock that was set back. */
  due({ plan, now }: Pick<MemberContext, 'plan' | 'now'>): RobotId[] {
    if (!this.#isSorted) this.#sort();
    const isQuiet = !isOverdue(this.#firstMs, plan, now) && isOverdue(this.#lastMs, plan, now);
    if (isQuiet) return [];
    const found = [...this.#away].filter(
      ([, { seenMs: seen, isVanished }]) => isOverdue(seen, plan, now) !== isVanished,
    );
    return found.map(([robot]) => robot);
  }

  #sort(): void {
    [this.#firstMs, this.#lastMs] = [Infinity, -Infinity];
    for (const { seenMs: seen, isVanished } of this.#away.values()) {
      if (isVanished) this.#lastMs = Math.max(this.#lastMs, seen);
      else this.#firstMs = Math.min(this.#firstMs, seen);
    }
    this.#isSorted = true;
  }
}
