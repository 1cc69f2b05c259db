/**
 * Keeps the logs of failed updates that robots hand over: the last one of each component of a
 * robot, as a file in the data folder, within a share for all robots and for a limited time. A log
 * is for people. So a disk that is full loses these files first, and nothing else depends on them.
 * Robots are not trusted: a log is stored packed, and unpacked within a bound when it is read.
 */

import { mkdir, open, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toProblem } from '../../shared/base/errors.ts';
import { isId, type EpochMs, type RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import {
  headFields,
  LogJoiner,
  readHeadLine,
  type ReceivedLog,
} from '../../shared/formats/failure-log.ts';
import { unpackLog } from '../../shared/io/packed-log.ts';
import { planShelf, type ShelfEntry } from './shelf-plan.ts';

/** Folder in the data folder of a broker. */
export const FAILURE_LOGS = 'failure-logs';
/** Logs that wait to be written: a disk that hangs must not collect them. */
const WAITING_MAX = 8;

export interface ShelfOptions {
  readonly folder: string;
  readonly log: Log;
  now(): EpochMs;
}

/** The first line of a file: a head is shorter, however its message is escaped. */
const HEAD_BYTES_MAX = 8 * 1024;

export class LogShelf {
  readonly #options: ShelfOptions;
  readonly #joiner = new LogJoiner();
  readonly #writes = new SerialQueue();
  readonly #reads = new SerialQueue();
  readonly #seldom: SeldomLog;
  readonly #entries = new Map<string, ShelfEntry>();

  private constructor(options: ShelfOptions) {
    this.#options = options;
    this.#seldom = new SeldomLog(options.log, LIMITS.readErrorLogMs, () => performance.now());
  }

  /** Reads the names of what is there. A folder that cannot be read counts as empty. */
  static async open(options: ShelfOptions): Promise<LogShelf> {
    const shelf = new LogShelf(options);
    await shelf.#look().catch((error: unknown) => shelf.#warn(error));
    return shelf;
  }

  /** Takes one message of a robot. Never throws: a part that is none is dropped. */
  take(robot: RobotId, message: Uint8Array): void {
    try {
      const received = this.#joiner.take(robot, message);
      if (!received || this.#writes.size >= WAITING_MAX) return;
      this.#writes.run(() => this.#write(received)).catch((error: unknown) => this.#warn(error));
    } catch (error) {
      this.#seldom.warn(
        `part ${robot}`,
        { robot, problem: toProblem(error) },
        'log not understood',
      );
    }
  }

  /** Logs of a robot that are here, by component. */
  of(robot: RobotId): ShelfEntry[] {
    return [...this.#entries.values()]
      .filter((one) => one.robot === robot)
      .sort((a, b) => (a.head.component < b.head.component ? -1 : 1));
  }

  /**
   * The text of a log; null when there is none. One at a time: each may take megabytes.
   * @throws DroverError FAILURE_LOG_INVALID; an error of the disk
   */
  async read(robot: RobotId, component: string): Promise<string | null> {
    await this.#writes.idle();
    return await this.#reads.run(async () => {
      const entry = this.#entries.get(nameOf(robot, component));
      if (!entry) return null;
      const bytes = await readFile(this.#pathOf(entry));
      return await unpackLog(bytes.subarray(bytes.indexOf(LINE_FEED) + 1));
    });
  }

  /** Of a robot that was retired. Never rejects. */
  async forget(robot: RobotId): Promise<void> {
    const gone = [...this.#entries.values()].filter((one) => one.robot === robot);
    await this.#writes.run(() => this.#remove(gone)).catch((error: unknown) => this.#warn(error));
  }

  async close(): Promise<void> {
    await this.#writes.idle();
  }

  async #write({ robot, head: read, packed }: ReceivedLog): Promise<void> {
    const head = headFields(read);
    const line = Buffer.from(`${JSON.stringify(head)}\n`);
    const receivedMs = this.#options.now();
    const entry = { robot, head, bytes: line.byteLength + packed.byteLength, receivedMs };
    await this.#remove(planShelf([...this.#entries.values()], entry, receivedMs));
    const path = this.#pathOf(entry);
    try {
      await mkdir(this.#options.folder, { recursive: true });
      await writeFile(`${path}.new`, Buffer.concat([line, packed]), { mode: 0o600 });
      await utimes(`${path}.new`, receivedMs / 1000, receivedMs / 1000);
      await rename(`${path}.new`, path);
    } catch (error) {
      await rm(`${path}.new`, { force: true });
      throw error;
    }
    const { component, rollout, code } = head;
    this.#entries.set(nameOf(robot, component), entry);
    this.#options.log.info({ robot, component, rollout, code }, 'log of a failed update stored');
  }

  async #remove(entries: readonly ShelfEntry[]): Promise<void> {
    for (const entry of entries) {
      await rm(this.#pathOf(entry), { force: true });
      this.#entries.delete(nameOf(entry.robot, entry.head.component));
    }
  }

  async #look(): Promise<void> {
    const { folder } = this.#options;
    const names = await readdir(folder).catch(() => []); // it is made with the first log
    for (const name of names) {
      const [robot = '', component = '', ...more] = name.split('.');
      if (more.length > 0 || !isId(robot) || !isId(component)) continue;
      const found = await lookInto(join(folder, name));
      if (found?.head.component === component)
        this.#entries.set(name, { robot: robot as RobotId, ...found });
    }
  }

  #pathOf({ robot, head }: Pick<ShelfEntry, 'robot' | 'head'>): string {
    return join(this.#options.folder, nameOf(robot, head.component));
  }

  #warn(error: unknown): void {
    this.#seldom.warn('disk', { problem: toProblem(error) }, 'log of a failed update not stored');
  }
}

const LINE_FEED = 0x0a;

/** Null for a file that is damaged. */
async function lookInto(path: string): Promise<Omit<ShelfEntry, 'robot'> | null> {
  const file = await open(path, 'r');
  try {
    const { size, mtimeMs } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES_MAX), 0);
    const begin = buffer.subarray(0, bytesRead);
    const line = begin.subarray(0, Math.max(0, begin.indexOf(LINE_FEED))).toString('utf8');
    const head = readHeadLine(line);
    return head && { head: headFields(head), bytes: size, receivedMs: mtimeMs };
  } finally {
    await file.close();
  }
}

/** Ids have no dots. */
const nameOf = (robot: string, component: string): string => `${robot}.${component}`;
