/**
 * Keeps the audit chain in a database of the data folder: everything that a person or a key decided
 * here, in order, each record with the hash of the one before (shared/formats/audit-record.ts). A
 * record is fsynced before `note` resolves. It must never lose a decision without a trace: records
 * that a disk does not take are logged in full and wait, within a bound; whatever is missing at a
 * start is named by a record of its own. A damaged chain keeps no broker from starting.
 */

import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import {
  CHAIN_BEGAN,
  encodeAuditRecord,
  hashOfLine,
  NO_RECORD,
  type ChainHead,
} from '../../shared/formats/audit-record.ts';
import { DurableLevel, type DatabaseSnapshot, type Operation } from '../control/durable-level.ts';
import { readChain, RECORDS, recordKey, type FoundChain } from './chain-start.ts';
import {
  gap,
  recordOf,
  type AuditSink,
  type AuditedDecision,
  type Remembered,
} from './decision.ts';

/** Folder of its database, below the data folder. */
export const AUDIT_DATABASE = 'audit';
/** Where damaged databases are kept: broker/backup/repair.ts puts them there too. */
const DAMAGED = 'damaged';
const HEAD_KEY = 'head';
const MEMORY = 'memory/';
/** Breaks of the chain that a record has named. */
const BREAKS = 'breaks';

export interface AuditLogOptions {
  readonly dataFolder: string;
  readonly log: Log;
  now(): EpochMs;
}

/** A record before it has a number. */
interface Waiting {
  readonly decision: AuditedDecision;
  readonly atMs: EpochMs;
  readonly remember: Remembered | null;
  /** The log of the broker has it in full. */
  isLogged: boolean;
}

export interface AuditView {
  /** The newest record that is on the disk; null in an empty chain. */
  readonly head: ChainHead | null;
  /** Records that wait for the disk. */
  readonly waiting: number;
  /** Why they wait. */
  readonly problem: Problem | null;
}

export class AuditLog implements AuditSink {
  readonly #options: AuditLogOptions;
  readonly #database: DurableLevel;
  readonly #queue = new SerialQueue();
  #waiting: Waiting[] = [];
  /** Records that found no place among those that wait, and are only in the log of the broker. */
  #left = 0;
  #head: ChainHead | null;
  #problem: Problem | null = null;
  #retry: NodeJS.Timeout | null = null;

  private constructor(database: DurableLevel, head: ChainHead | null, options: AuditLogOptions) {
    this.#database = database;
    this.#head = head;
    this.#options = options;
  }

  /** @throws DroverError DATA_LOCKED, DISK_FULL, DISK_READ_ONLY, FILE_UNREADABLE */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const { database, found, kept } = await openChain(options);
    const audit = new AuditLog(database, found.head, options);
    if (found.head === null && found.gap === null) {
      const lost = kept === null ? '' : `: the one before was damaged and is kept as ${kept}`;
      const text = `the audit chain begins${lost}`;
      if (kept !== null) options.log.error({ kept }, text);
      await audit.note({ kind: CHAIN_BEGAN, subject: '', by: 'broker', text, facts: { kept } });
    }
    if (found.gap !== null) {
      options.log.error(found.gap.facts ?? {}, found.gap.text);
      audit.#head = found.goOnFrom;
      await audit.note(found.gap, { key: BREAKS, value: found.breaks });
    }
    return audit;
  }

  note(decision: AuditedDecision, remember: Remembered | null = null): Promise<void> {
    const one = { decision, atMs: this.#options.now(), remember, isLogged: false };
    const { log } = this.#options;
    if (this.#waiting.length >= LIMITS.auditWaitingMax) {
      this.#left += 1;
      log.error({ audit: decision }, 'decision is in no audit chain, only in this line');
      return Promise.resolve();
    }
    this.#waiting.push(one);
    if (this.#problem === null) return this.#queue.run(() => this.#write());
    this.#logWaiting(one); // `#retry` writes it
    return Promise.resolve();
  }

  /** A value that was noted with a record; null for none. */
  async recall(key: string): Promise<string | null> {
    const value = await this.#database.get(MEMORY + key);
    return typeof value === 'string' ? value : null;
  }

  /** Keys of remembered values with this beginning. */
  async *recalled(prefix: string): AsyncGenerator<readonly [key: string, value: string]> {
    const range = { gte: MEMORY + prefix, lt: `${MEMORY}${prefix}~` };
    for await (const [key, value] of this.#database.entries(range)) {
      yield [key.slice(MEMORY.length), String(value)];
    }
  }

  async forget(key: string): Promise<void> {
    await this.#database.del(MEMORY + key);
  }

  /** Lines of the chain, as they were hashed. */
  async lines(after: number, limit: number): Promise<string[]> {
    const lines: string[] = [];
    const range = { gt: recordKey(after), lt: `${RECORDS}~`, limit };
    for await (const line of this.#database.values(range)) lines.push(line as string);
    return lines;
  }

  view(): AuditView {
    return { head: this.#head, waiting: this.#waiting.length, problem: this.#problem };
  }

  /** Tries again what waits. @throws DroverError DISK_FULL, DISK_WRITE_FAILED */
  async assertWritable(): Promise<void> {
    if (this.#waiting.length > 0) await this.#queue.run(() => this.#write());
    if (this.#problem) throw new DroverError(this.#problem.code, this.#problem.message);
  }

  snapshot(): DatabaseSnapshot {
    return this.#database.snapshot();
  }

  async close(): Promise<void> {
    if (this.#retry) clearTimeout(this.#retry);
    await this.#queue.run(() => this.#write());
    for (const { decision } of this.#waiting) {
      this.#options.log.error({ audit: decision }, 'decision is in no audit chain at the stop');
    }
    await this.#database.close();
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const group = [...this.#waiting];
    const left = this.#left;
    if (left > 0) group.push(this.#leftOut(left));
    const { operations, head } = this.#recordsOf(group);
    try {
      await this.#database.batch(operations, { sync: true });
    } catch (error) {
      return this.#refused(error, group);
    }
    this.#head = head;
    this.#problem = null;
    this.#left -= left;
    this.#waiting = this.#waiting.slice(left > 0 ? group.length - 1 : group.length);
    this.#options.log.info({ seq: head.seq, sha256: head.hash }, 'head of the audit chain');
  }

  #refused(error: unknown, group: readonly Waiting[]): void {
    const { log } = this.#options;
    const isNew = this.#problem === null;
    this.#problem = toProblem(error);
    if (isNew) log.error({ problem: this.#problem }, 'audit chain takes no records, they wait');
    for (const one of group) this.#logWaiting(one);
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      inBackground(
        log,
        'write the audit chain',
        this.#queue.run(() => this.#write()),
      );
    }, LIMITS.auditRetryMs).unref();
  }

  #logWaiting(one: Waiting): void {
    if (one.isLogged) return;
    this.#options.log.error({ audit: one.decision }, 'decision waits for the audit chain');
    one.isLogged = true;
  }

  #leftOut(count: number): Waiting {
    const text = `${count} decisions are missing here: the disk took no records; the log of the broker has them`;
    const decision = gap(text, { missing: count });
    return { decision, atMs: this.#options.now(), remember: null, isLogged: true };
  }

  #recordsOf(group: readonly Waiting[]): { operations: Operation[]; head: ChainHead } {
    let head = this.#head ?? { seq: 0, hash: NO_RECORD };
    const operations: Operation[] = [];
    for (const { decision, atMs, remember } of group) {
      const at = new Date(atMs).toISOString();
      const seq = head.seq + 1;
      const line = encodeAuditRecord(recordOf(decision, { seq, at, prev: head.hash }));
      head = { seq, hash: hashOfLine(line) };
      operations.push({ type: 'put', key: recordKey(seq), value: line });
      const oldest = seq - LIMITS.auditRecordsMax;
      if (oldest > 0) operations.push({ type: 'del', key: recordKey(oldest) });
      if (remember) {
        operations.push({ type: 'put', key: MEMORY + remember.key, value: remember.value });
      }
    }
    operations.push({ type: 'put', key: HEAD_KEY, value: JSON.stringify(head) });
    return { operations, head };
  }
}

interface OpenedChain {
  readonly database: DurableLevel;
  readonly found: FoundChain;
  /** Folder of a chain that was damaged; null when none was. */
  readonly kept: string | null;
}

async function openChain({ dataFolder, now }: AuditLogOptions): Promise<OpenedChain> {
  const folder = join(dataFolder, AUDIT_DATABASE);
  try {
    return { ...(await openWhole(folder)), kept: null };
  } catch (error) {
    if (!(error instanceof DroverError) || error.code !== 'DATABASE_DAMAGED') throw error;
    const at = new Date(now()).toISOString().replaceAll(':', '-');
    const kept = join(DAMAGED, `${at}-${AUDIT_DATABASE}`);
    await mkdir(join(dataFolder, DAMAGED), { recursive: true });
    await rename(folder, join(dataFolder, kept));
    return { ...(await openWhole(folder)), kept };
  }
}

/** @throws DroverError DATABASE_DAMAGED also when its newest records cannot be read */
async function openWhole(folder: string): Promise<Pick<OpenedChain, 'database' | 'found'>> {
  const database = await DurableLevel.open(folder, 'utf8');
  try {
    const [stored, named] = [await database.get(HEAD_KEY), await database.get(MEMORY + BREAKS)];
    return { database, found: await readChain(database, stored, named) };
  } catch (error) {
    await database.close();
    throw error;
  }
}
