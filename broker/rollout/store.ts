/**
 * The controller's database, in `level`: one record for each rollout, the counts of each robot, and
 * the audit log. A decision, its audit entries and its counts are one atomic batch. A decision is
 * fsynced before it is published; mere counts are not.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { markSchema, type CounterMark } from './counters.ts';
import { encodeRun, parseRun, type RolloutRun } from './record.ts';
import type { AuditEntry } from './rollout-view.ts';
import { DurableLevel, type Operation, type DatabaseSnapshot } from '../control/durable-level.ts';

export interface Saved {
  readonly run: RolloutRun;
  readonly marks: ReadonlyMap<RobotId, CounterMark>;
}

export interface Save {
  readonly run: RolloutRun;
  readonly marks?: ReadonlyMap<RobotId, CounterMark>;
  readonly audit?: readonly AuditEntry[];
  /** True for a change that is about to be published: it must survive a power cut. */
  readonly isDecision: boolean;
}

/** The part of the store that the controller uses. */
export interface RolloutStore {
  load(): Promise<Map<string, Saved>>;
  save(what: Save): Promise<void>;
  remove(rollout: string): Promise<void>;
  /** @param after number of the last entry that the caller has; 0 for none */
  history(rollout: string, after: number, limit: number): Promise<AuditEntry[]>;
  /** Terms up to this may have been used; kept over restarts. */
  raiseTermFloor(termFloor: number): Promise<void>;
  /** Records our name. @returns the process that used this store before */
  enter(self: string): Promise<string | null>;
}

/** Above every character of an id or a number. */
const END = '~';
const SELF_KEY = 'self';
const TERM_FLOOR_KEY = 'term-floor';
const auditKey = (rollout: string, seq: number): string =>
  `audit/${rollout}/${String(seq).padStart(10, '0')}`;

export class LevelRolloutStore implements RolloutStore {
  readonly #database: DurableLevel;
  readonly #log: Log;

  private constructor(database: DurableLevel, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  /** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
  static async open(folder: string, log: Log): Promise<LevelRolloutStore> {
    return new LevelRolloutStore(await DurableLevel.open(folder, 'utf8'), log);
  }

  async enter(self: string): Promise<string | null> {
    const before = (await this.#database.get(SELF_KEY)) as string | undefined;
    await this.#database.put(SELF_KEY, self, { sync: true });
    return before ?? null;
  }

  async load(): Promise<Map<string, Saved>> {
    const found = new Map<string, Saved>();
    for await (const [key, text] of this.#database.entries(rangeOf('run/'))) {
      const run = this.#read(key, () => parseRun(new TextEncoder().encode(text as string)));
      if (run) found.set(run.rollout, { run, marks: await this.#marksOf(run.rollout) });
    }
    return found;
  }

  async save({ run, marks, audit = [], isDecision }: Save): Promise<void> {
    const operations: Operation[] = [];
    const put = (key: string, value: string): void =>
      void operations.push({ type: 'put', key, value });
    put(`run/${run.rollout}`, new TextDecoder().decode(encodeRun(run)));
    for (const [robot, mark] of marks ?? []) {
      put(`mark/${run.rollout}/${robot}`, JSON.stringify(mark));
    }
    for (const entry of audit) {
      put(auditKey(run.rollout, entry.seq), JSON.stringify(entry));
      const oldest = entry.seq - LIMITS.auditEntriesMax;
      if (oldest > 0) operations.push({ type: 'del', key: auditKey(run.rollout, oldest) });
    }
    await this.#database.batch(operations, { sync: isDecision });
  }

  async remove(rollout: string): Promise<void> {
    await this.#database.clear(rangeOf(`mark/${rollout}/`));
    await this.#database.clear(rangeOf(`audit/${rollout}/`));
    await this.#database.del(`run/${rollout}`, { sync: true });
  }

  async history(rollout: string, after: number, limit: number): Promise<AuditEntry[]> {
    const entries: AuditEntry[] = [];
    const range = { gt: auditKey(rollout, after), lt: `audit/${rollout}/${END}`, limit };
    // This program wrote it from typed values, in one batch with the record that is checked.
    for await (const text of this.#database.values(range)) {
      entries.push(JSON.parse(text as string) as AuditEntry);
    }
    return entries;
  }

  /** Number of the last entry in the history of each rollout. */
  async lastEntries(): Promise<Map<string, number>> {
    const last = new Map<string, number>();
    for await (const [key, text] of this.#database.entries(rangeOf('run/'))) {
      const run = this.#read(key, () => parseRun(new TextEncoder().encode(text as string)));
      if (run) last.set(run.rollout, run.auditSeq);
    }
    return last;
  }

  /** Terms of the lease that may have been used by the broker that this one was restored from. */
  async termFloor(): Promise<number> {
    const text = await this.#database.get(TERM_FLOOR_KEY);
    return typeof text === 'string' ? Number(text) : 0;
  }

  async raiseTermFloor(termFloor: number): Promise<void> {
    await this.#database.put(TERM_FLOOR_KEY, String(termFloor), { sync: true });
  }

  /**
   * The process that used this store before may still run: a new name continues in a higher term.
   */
  async becomeAnother(termFloor: number): Promise<void> {
    const floor = { type: 'put', key: TERM_FLOOR_KEY, value: String(termFloor) } as const;
    await this.#database.batch([{ type: 'del', key: SELF_KEY }, floor], { sync: true });
  }

  snapshot(): DatabaseSnapshot {
    return this.#database.snapshot();
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  async #marksOf(rollout: string): Promise<Map<RobotId, CounterMark>> {
    const marks = new Map<RobotId, CounterMark>();
    const prefix = `mark/${rollout}/`;
    for await (const [key, text] of this.#database.entries(rangeOf(prefix))) {
      const mark = this.#read(key, () => markSchema.parse(JSON.parse(text as string)));
      if (mark) marks.set(key.slice(prefix.length) as RobotId, mark);
    }
    return marks;
  }

  /** A damaged record must not keep the other rollouts from being led. */
  #read<T>(key: string, read: () => T): T | null {
    try {
      return read();
    } catch (error) {
      const why = error instanceof DroverError ? error.message : String(error);
      this.#log.error({ key, why }, 'record of a rollout cannot be read: left out');
      return null;
    }
  }
}

const rangeOf = (prefix: string) => ({ gte: prefix, lt: `${prefix}${END}` });
