/**
 * The controller's memory as a power cut would leave it: what was saved is there, to the byte, and
 * nothing else. A test can make it die at a write, before or after the write counted.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import { encodeRun, parseRun } from '../../broker/rollout/record.ts';
import type { CounterMark } from '../../broker/rollout/counters.ts';
import type { AuditEntry } from '../../broker/rollout/rollout-view.ts';
import type { RolloutStore, Save, Saved } from '../../broker/rollout/store.ts';

export class PowerCut extends Error {}

export class MemoryStore implements RolloutStore {
  async raiseTermFloor(): Promise<void> {}

  readonly #runs = new Map<string, Uint8Array>();
  readonly #marks = new Map<string, Map<RobotId, string>>();
  readonly #audit = new Map<string, AuditEntry[]>();
  #self: string | null = null;
  /** Asked before and after each write; throws PowerCut to end the process there. */
  onWrite: (when: 'before' | 'after') => void = () => undefined;

  enter(self: string): Promise<string | null> {
    const before = this.#self;
    this.#self = self;
    return Promise.resolve(before);
  }

  load(): Promise<Map<string, Saved>> {
    const found = new Map<string, Saved>();
    for (const [id, bytes] of this.#runs) {
      const marks = new Map<RobotId, CounterMark>();
      for (const [robot, text] of this.#marks.get(id) ?? []) {
        marks.set(robot, JSON.parse(text) as CounterMark);
      }
      found.set(id, { run: parseRun(bytes), marks });
    }
    return Promise.resolve(found);
  }

  async save({ run, marks, audit = [] }: Save): Promise<void> {
    this.onWrite('before');
    await Promise.resolve();
    const id = run.rollout;
    this.#runs.set(id, encodeRun(run));
    const known = this.#marks.get(id) ?? new Map<RobotId, string>();
    for (const [robot, mark] of marks ?? []) known.set(robot, JSON.stringify(mark));
    this.#marks.set(id, known);
    this.#audit.set(id, [...(this.#audit.get(id) ?? []), ...audit]);
    this.onWrite('after');
  }

  remove(rollout: string): Promise<void> {
    for (const map of [this.#runs, this.#marks, this.#audit]) map.delete(rollout);
    return Promise.resolve();
  }

  history(rollout: string, after: number, limit: number): Promise<AuditEntry[]> {
    const all = this.#audit.get(rollout) ?? [];
    return Promise.resolve(all.filter((one) => one.seq > after).slice(0, limit));
  }

  /** Entries of one rollout, for the judge. */
  entries(rollout: string): readonly AuditEntry[] {
    return this.#audit.get(rollout) ?? [];
  }
}
