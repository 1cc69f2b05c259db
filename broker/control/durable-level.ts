/**
 * A `level` database that stays correct on a disk that was full. LevelDB goes on appending to its
 * log behind a half-written record, and at the next start reads only up to that record: everything
 * acknowledged after it would be lost. So after a failed write nothing is written before the
 * database was closed and opened again, which keeps the whole records and starts a new log. Waiting
 * writes go to the disk together, in order, with one fsync.
 */

import { Level } from 'level';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, wordsOfErrno } from '../../shared/base/errno.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { assertLogsWhole, assertNotHeadless, brokenTables, damaged } from './level-files.ts';
import { dropTally, LogTally } from './log-tally.ts';

/** Until it is closed the database keeps the entries that are deleted meanwhile. */
export interface DatabaseSnapshot extends AsyncIterable<readonly [string, Uint8Array]> {
  close(): Promise<void>;
}

/** A database whose entries can be read as they were when `snapshot` was called. */
export interface Snapshotted {
  snapshot(): DatabaseSnapshot;
}

type Encoding = 'utf8' | 'buffer' | 'view';

export interface ValueOptions {
  readonly valueEncoding?: Encoding;
}

export interface WriteOptions extends ValueOptions {
  /** With fsync the write survives a power cut when it resolves, otherwise only a kill. */
  readonly sync?: boolean;
}

export interface Range extends ValueOptions {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

type Put = { readonly type: 'put'; readonly key: string; readonly value: unknown } & ValueOptions;
type Del = { readonly type: 'del'; readonly key: string };
export type Operation = Put | Del;

interface Write {
  /** A function is called when the write is next. */
  readonly operations: readonly Operation[] | (() => Promise<readonly Operation[]>);
  readonly sync: boolean;
  resolve(): void;
  reject(error: Error): void;
}

export interface ChainedBatch {
  del(key: string): ChainedBatch;
  write(): Promise<void>;
}

const PROBE = 'room'; // no name of LevelDB's, which leaves such files alone

/** Messages that mean no damage, besides those of `diskCodeIn`. */
const PASSING = /Permission denied|Too many open|Input\/output/;

export class DurableLevel {
  readonly #level: Level<string, unknown>;
  readonly #folder: string;
  /** Bounded by its callers: each message waits for its own write before the next. */
  readonly #waiting: Write[] = [];
  #writing: Promise<void> | null = null;
  #reopening: Promise<void> | null = null;
  /** Why the last write failed; nothing is written before the database was opened again. */
  #failed: DroverError | null = null;
  #isClosed = false;
  readonly #tally: LogTally;
  #triedAtMs = Number.NEGATIVE_INFINITY;

  private constructor(folder: string, valueEncoding: Encoding) {
    this.#folder = folder;
    this.#level = new Level(folder, { valueEncoding });
    this.#tally = new LogTally(folder);
  }

  /** Closed on purpose: later calls are ignored. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * @throws DroverError DATA_LOCKED when another broker holds the folder, DATABASE_DAMAGED,
   *   DISK_FULL, DISK_READ_ONLY, FILE_UNREADABLE
   */
  static async open(folder: string, valueEncoding: Encoding): Promise<DurableLevel> {
    await assertNotHeadless(folder); // first: a Level starts to open as soon as it is created
    // LevelDB makes a table of what it can read, and removes the logs
    await assertLogsWhole(folder);
    const suspects = await brokenTables(folder);
    const database = new DurableLevel(folder, valueEncoding);
    try {
      await rm(join(folder, PROBE), { force: true });
      await database.#level.open();
      await dropTally(folder);
    } catch (cause) {
      throw openFailure(folder, cause);
    }
    if (!(await stillBroken(folder, suspects))) return database;
    await database.#level.close(); // a table of that name may just have been written
    const broken = await stillBroken(folder, suspects);
    if (broken) throw damaged(folder, `checksums of ${broken.join(', ')} do not fit`);
    await database.#level.open().catch((cause: unknown) => {
      throw openFailure(folder, cause);
    });
    return database;
  }

  /** Rejects while the disk takes no writes; after a failed write it tries one. */
  async assertWritable(): Promise<void> {
    if (this.#failed) await this.#write([]);
  }

  async get(key: string, options: ValueOptions = {}): Promise<unknown> {
    await this.#reopening;
    return await this.#level.get(key, options);
  }

  async *values(range: Range): AsyncGenerator<unknown> {
    await this.#reopening;
    yield* reading(this.#folder, this.#level.values(range));
  }

  async *entries(range: Range = {}): AsyncGenerator<[string, unknown]> {
    await this.#reopening;
    yield* reading(this.#folder, this.#level.iterator(range));
  }

  /** All entries of this moment, whatever is written while they are read; values as stored. */
  snapshot(): DatabaseSnapshot {
    return this.#level.iterator<string, Uint8Array>({ valueEncoding: 'view' });
  }

  /** @throws DroverError DISK_FULL, DISK_WRITE_FAILED; the other writes throw the same */
  async put(key: string, value: unknown, options: WriteOptions = {}): Promise<void> {
    const { sync, ...encoding } = options;
    await this.#write([{ type: 'put', key, value, ...encoding }], sync);
  }

  async del(key: string, options: Pick<WriteOptions, 'sync'> = {}): Promise<void> {
    await this.#write([{ type: 'del', key }], options.sync);
  }

  /** All of them or none. */
  batch(): ChainedBatch;
  batch(operations: readonly Operation[], options?: WriteOptions): Promise<void>;
  batch(operations?: readonly Operation[], options: WriteOptions = {}) {
    if (!operations) return this.#chain();
    const { sync, ...encoding } = options;
    return this.#write(
      operations.map((one) => (one.type === 'put' ? { ...encoding, ...one } : one)),
      sync,
    );
  }

  /**
   * Deletes the entries that are in the range when the write is next; an empty range needs no room.
   */
  async clear(range: Range): Promise<void> {
    await this.#write(async () => {
      const found: Operation[] = [];
      for await (const key of this.#level.keys(range)) found.push({ type: 'del', key });
      return found;
    }, false);
  }

  /** Waits for everything that was begun. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#level.close();
    await this.#tally.close({ isWhole: this.#failed === null });
  }

  #chain(): ChainedBatch {
    const operations: Operation[] = [];
    const chain: ChainedBatch = {
      del: (key) => {
        operations.push({ type: 'del', key });
        return chain;
      },
      write: () => this.#write(operations, false),
    };
    return chain;
  }

  async #write(operations: Write['operations'], sync = false): Promise<void> {
    if (this.#isClosed) {
      throw new DroverError('DISK_WRITE_FAILED', `write ${this.#folder}: the broker is stopping`);
    }
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ operations, sync, resolve, reject });
      this.#writing ??= this.#writeAll().finally(() => (this.#writing = null));
    });
  }

  /** Never rejects: each writer gets its own failure. */
  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = takeGroup(this.#waiting);
      try {
        await this.#writeGroup(group);
      } catch (error) {
        this.#failed = this.#describe(error);
        for (const one of group) one.reject(this.#failed);
        continue;
      }
      for (const one of group) one.resolve();
    }
  }

  async #writeGroup(group: readonly Write[]): Promise<void> {
    const operations: Operation[] = [];
    for (const { operations: mine } of group) {
      if (typeof mine !== 'function') operations.push(...mine);
      else {
        const found = await mine();
        if (found.length === 0) return; // it is alone in its group, and works on a full disk too
        operations.push(...found);
      }
    }
    await this.#beWritable();
    const sync = group.some((one) => one.sync);
    await this.#level.batch(operations, { sync });
    if (sync) await this.#tally.measure();
  }

  /** Reads use the database as it is until there is room to open it again. */
  async #beWritable(): Promise<void> {
    if (!this.#failed) return;
    const now = performance.now();
    if (now - this.#triedAtMs < LIMITS.databaseRetryMs) throw this.#failed;
    this.#triedAtMs = now;
    await this.#findRoom();
    const reopened = this.#reopen();
    this.#reopening = reopened.catch(() => undefined); // readers then learn that it is not open
    try {
      await reopened;
    } finally {
      this.#reopening = null;
    }
    this.#failed = null;
  }

  async #reopen(): Promise<void> {
    await this.#level.close();
    await this.#level.open();
  }

  /** A database that cannot be opened could not be read either, so room is proven first. */
  async #findRoom(): Promise<void> {
    const probe = join(this.#folder, PROBE);
    try {
      await writeFile(probe, Buffer.alloc(LIMITS.databaseRoomBytes), { flush: true });
    } finally {
      await rm(probe, { force: true });
    }
  }

  #describe(error: unknown): DroverError {
    if (error instanceof DroverError) return error;
    const what = diskCodeIn(error) ?? 'DISK_WRITE_FAILED';
    return new DroverError(what, `write ${this.#folder}: ${whyOf(error)}`, { cause: error });
  }
}

/** The first of the waiting writes, and as many after it as fit into one write. */
function takeGroup(waiting: Write[]): Write[] {
  let bytes = 0;
  let count = 0;
  for (const { operations } of waiting) {
    const isAsked = typeof operations === 'function'; // its result depends on all writes before it
    if (count > 0 && (isAsked || bytes >= LIMITS.databaseGroupBytesMax)) break;
    count += 1;
    if (isAsked) break;
    for (const one of operations) bytes += sizeOf(one);
  }
  return waiting.splice(0, count);
}

function sizeOf(operation: Operation): number {
  const value = operation.type === 'put' ? operation.value : '';
  const length = value instanceof Uint8Array || typeof value === 'string' ? value.length : 0;
  return operation.key.length + length;
}

/**
 * Of the tables that were broken before the database was opened, those that are so now; null for
 * none. LevelDB removes what a kill left half written, and may give its name to a new table.
 */
async function stillBroken(folder: string, suspects: readonly string[]): Promise<string[] | null> {
  if (suspects.length === 0) return null;
  const broken = (await brokenTables(folder)).filter((name) => suspects.includes(name));
  return broken.length === 0 ? null : broken;
}

/** LevelDB's own repair, in place. To be called on a copy. */
export async function repairLevel(folder: string): Promise<void> {
  // On Node `Level` is ClassicLevel, whose types leave out the repair.
  await (Level as unknown as { repair(location: string): Promise<void> }).repair(folder);
  // The repair leaves no log; without one the next open would report damage.
  const level = new Level(folder);
  await level.open();
  await level.close();
}

async function* reading<T>(folder: string, entries: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* entries;
  } catch (cause) {
    throw openOrRead('read', folder, cause) ?? cause;
  }
}

function innerOf(cause: unknown): unknown {
  return cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
}

function whyOf(cause: unknown): string {
  const inner = innerOf(cause);
  return wordsOfErrno(inner);
}

/** LevelDB's messages for corruption, or for a file that `MANIFEST` names and that is gone. */
const isDamage = (cause: unknown): boolean =>
  /^Corruption|CURRENT|MANIFEST|\.(?:ldb|sst)\b/.test(whyOf(cause));

/** LevelDB passes on the text of a system error (strerror(3)) alone, and names any file. */
const DISK_WORDS: readonly [RegExp, errno: readonly string[], ErrorCode][] = [
  [/No space left on device|Disk quota exceeded/, ['ENOSPC', 'EDQUOT'], 'DISK_FULL'],
  [/Read-only file system/, ['EROFS'], 'DISK_READ_ONLY'],
];

/** DISK_FULL or DISK_READ_ONLY when the system said so, to us or to LevelDB; else null. */
export function diskCodeIn(thrown: unknown): ErrorCode | null {
  const [code, why] = [errnoOf(innerOf(thrown)), whyOf(thrown)];
  const found = DISK_WORDS.find(([words, errno]) => words.test(why) || errno.includes(code));
  return found?.[2] ?? null;
}

/** Null for an error that is about neither the disk nor the database. */
function openOrRead(what: 'open' | 'read', folder: string, cause: unknown): DroverError | null {
  const code = diskCodeIn(cause);
  if (code) return new DroverError(code, `${what} ${folder}: ${whyOf(cause)}`, { cause });
  return isDamage(cause) ? damaged(folder, whyOf(cause), cause) : null;
}

/** LevelDB's lock distinguishes a second broker on the same folder from a broken database. */
function openFailure(folder: string, cause: unknown): DroverError {
  if (cause instanceof DroverError) return cause;
  const { code } = innerOf(cause) as { code?: unknown };
  if (code === 'LEVEL_LOCKED') {
    return new DroverError('DATA_LOCKED', `open ${folder}: another drover-broker uses it`, {
      cause,
    });
  }
  const isPassing = diskCodeIn(cause) === null && PASSING.test(whyOf(cause));
  const known = isPassing ? null : openOrRead('open', folder, cause);
  return known ?? new DroverError('FILE_UNREADABLE', `open ${folder}: ${whyOf(cause)}`, { cause });
}
