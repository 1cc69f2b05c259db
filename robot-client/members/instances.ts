/**
 * Notices two computers with one pair file, such as one that was replaced and left on, or a disk
 * that was copied. Each start of a member has a random name. The name of a start that is over never
 * comes again, but for a message that was late; it comes again and again when both computers run.
 * Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export class Instances {
  /** In the order in which each came first. */
  #names: string[] = [];
  #last = '';
  /** When each came last. */
  readonly #heardMs = new Map<string, MonoMs>();
  /** When the newest one came first. */
  #newMs: MonoMs = Number.NEGATIVE_INFINITY;
  /** When older ones came back after the newest. */
  #returnsMs: MonoMs[] = [];

  /** @param name of the start of the agent; empty for an old one, which has none */
  heard(name: string, now: MonoMs): void {
    if (name === '') return;
    this.#heardMs.set(name, now);
    if (name === this.#last) return;
    if (!this.#names.includes(name)) {
      if (this.#names.length > 0) this.#newMs = now;
      this.#names = [...this.#names, name].slice(-LIMITS.twinNamesMax);
      for (const known of this.#heardMs.keys())
        if (!this.#names.includes(known)) this.#heardMs.delete(known);
    } else if (name !== this.#names.at(-1)) {
      this.#returnsMs = [...this.#returnsMs, now].slice(-LIMITS.twinReturnsMin);
    }
    this.#last = name;
  }

  /** The start that came last; empty before the first, and from old agents. */
  get last(): string {
    return this.#last;
  }

  /** True when nothing came from this start for so long that its computer is gone. */
  isGone(name: string, now: MonoMs): boolean {
    return now - (this.#heardMs.get(name) ?? Number.NEGATIVE_INFINITY) > LIMITS.memberTwiceMs;
  }

  /** True while two computers take turns. */
  isTwice(now: MonoMs): boolean {
    const recent = this.#returnsMs.filter((ms) => now - ms <= LIMITS.memberTwiceMs);
    return recent.length >= LIMITS.twinReturnsMin;
  }

  /** True after a start: one that was there before still has the time to come back. */
  isUnproven(now: MonoMs): boolean {
    return now - this.#newMs < LIMITS.memberProveMs;
  }
}
