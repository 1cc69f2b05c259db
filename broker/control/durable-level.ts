/**
 * A `level` database that keeps its word on a disk that was full. LevelDB goes on appending to its
 * log behind a record that failed half-way, and at the next start reads only up to that record:
 * what was acknowledged after it would be gone. So after a failed write nothing is written before
 * the database was closed and opened again, which saves what is whole and begins a new log.
 *
 * Writes that wait go to the disk together, in their order, with one fsync.
 */

import { Level } from 'level';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { assertLogsWhole, assertNotHeadless, brokenTables, damaged } from './level-files.ts';
import { dropTally, LogTally } from './log-tally.ts';

/** Until it is closed the database keeps what is removed meanwhile. */
export interface DatabaseSnapshot extends AsyncIterable<readonly [string, Uint8Array]> {
  close(): Promise<void>;
}

type Encoding = 'utf8' | 'buffer' | 'view';

export interface ValueOptions {
  readonly valueEncoding?: Encoding;
}

export interface WriteOptions extends ValueOptions {
  /** Fsynced when the write resolves; otherwise it survives a kill, not a power cut. */
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
  /** A function is asked when its turn has come. */
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

/** Beside what `diskCodeIn` knows: no damage, whatever file it names. */
const PASSING = /Permission denied|Too many open|Input\/output/;

export class SteadyDatabase {
  readonly #level: Level<string, unknown>;
  readonly #folder: string;
  /** Bounded by its callers: each message on its way waits for its own write before the next. */
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

  /** On purpose: nothing is expected of it any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * @throws DroverError DATA_LOCKED when another broker holds the folder, DATABASE_DAMAGED,
   *   DISK_FULL, DISK_READ_ONLY, FILE_UNREADABLE
   */
  static async open(folder: string, valueEncoding: Encoding): Promise<SteadyDatabase> {
    await assertNotHeadless(folder); // first: a Level begins to open as soon as it is made
    await assertLogsWhole(folder); // LevelDB makes a table of what it can read, and removes them
    const suspects = await brokenTables(folder);
    const database = new SteadyDatabase(folder, valueEncoding);
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

  /** Rejects while the disk takes nothing; asks it anew after a failed write. */
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

  /** All entries as they are now, whatever is written while they are read; values as they lie. */
  snapshot(): DatabaseSnapshot {
    return this.#level.iterator<string, Uint8Array>({ valueEncoding: 'view' });
  }

  /** @throws DroverError DISK_FULL, DISK_WRITE_FAILED; so do all that follow */
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

  /** Removes what is in the range when its turn has come; of nothing, also on a full disk. */
  async clear(range: Range): Promise<void> {
    await this.#write(async () => {
      const found: Operation[] = [];
      for await (const key of this.#level.keys(range)) found.push({ type: 'del', key });
      return found;
    }, false);
  }

  /** After all that was begun. */
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

  /** Never rejects: each writer hears of its own failure. */
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
        if (found.length === 0) return; // it is alone in its group, and a full disk can do that too
        operations.push(...found);
      }
    }
    await this.#beWritable();
    const sync = group.some((one) => one.sync);
    await this.#level.batch(operations, { sync });
    if (sync) await this.#tally.measure();
  }

  /** Reading goes on with the database as it is until there is room to open it again. */
  async #beWritable(): Promise<void> {
    if (!this.#failed) return;
    const now = performance.now();
    if (now - this.#triedAtMs < LIMITS.databaseRetryMs) throw this.#failed;
    this.#triedAtMs = now;
    await this.#findRoom();
    const reopened = this.#reopen();
    this.#reopening = reopened.catch(() => undefined); // readers then hear that it is not open
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

  /** A database that cannot be opened could not be read either, so its room is proven first. */
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

/** The first of those that wait, and as many after it as fit into one write. */
function takeGroup(waiting: Write[]): Write[] {
  let bytes = 0;
  let count = 0;
  for (const { operations } of waiting) {
    const isAsked = typeof operations === 'function'; // what it finds depends on all before it
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
  // On Node `Level` is ClassicLevel, whose repair its types leave out.
  await (Level as unknown as { repair(location: string): Promise<void> }).repair(folder);
  // It leaves no log; who opens it next would miss it.
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
  return inner instanceof Error ? inner.message : String(inner);
}

/** As LevelDB says it: a corruption, or a file that `MANIFEST` names and that is gone. */
const isDamage = (cause: unknown): boolean =>
  /^Corruption|CURRENT|MANIFEST|\.(?:ldb|sst)\b/.test(whyOf(cause));

/** LevelDB passes on the text of a system error (strerror(3)) alone, and names any file. */
const DISK_WORDS: readonly [RegExp, errno: readonly string[], ErrorCode][] = [
  [/No space left on device|Disk quota exceeded/, ['ENOSPC', 'EDQUOT'], 'DISK_FULL'],
  [/Read-only file system/, ['EROFS'], 'DISK_READ_ONLY'],
];

/** DISK_FULL or DISK_READ_ONLY where the system said so, to us or to LevelDB; else null. */
export function diskCodeIn(thrown: unknown): ErrorCode | null {
  const { code } = innerOf(thrown) as { code?: unknown };
  const why = whyOf(thrown);
  const found = DISK_WORDS.find(
    ([words, errno]) => words.test(why) || errno.some((one) => one === code),
  );
  return found?.[2] ?? null;
}

/** Null for what says nothing of the disk or of the database. */
function openOrRead(what: 'open' | 'read', folder: string, cause: unknown): DroverError | null {
  const code = diskCodeIn(cause);
  if (code) return new DroverError(code, `${what} ${folder}: ${whyOf(cause)}`, { cause });
  return isDamage(cause) ? damaged(folder, whyOf(cause), cause) : null;
}

/** The lock of LevelDB tells a second broker on the same folder from a broken one. */
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
