/**
 * `tally`: how many bytes of the live log of a LevelDB the disk has for certain. LevelDB takes a
 * log that was emptied, or cut between two records, for one to which nothing more was written. A
 * power cut takes nothing of what was fsynced, so a log below its tally is damage.
 *
 * Measured between two writes, right after one that was fsynced; written beside the database, once
 * in `databaseTallyMs` at most. One that is missing, torn or old says less, never anything wrong.
 */

import { lstat, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LIMITS } from '../../shared/base/limits.ts';
import { nullIfRefused } from '../../shared/base/errors.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import { logsIn, numberOf } from './data-folder.ts';
import { recordsEnd } from './log-check.ts';

const TALLY = 'tally'; // no name of LevelDB's, which leaves such files alone

const tallySchema = z.object({ log: z.string(), bytes: z.number().int().nonnegative() });
/** `bytes` of the file `log`, up to the end of a record, are durable. */
type Tally = z.output<typeof tallySchema>;

export class LogTally {
  readonly #folder: string;
  #measured: Tally | null = null;
  #writing: Promise<void> | null = null;
  #wroteAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * To be called between two writes, after one that was fsynced. The answer to that write does not
   * wait for the tally itself.
   */
  async measure(): Promise<void> {
    this.#measured = (await liveLog(this.#folder)) ?? this.#measured;
    this.#plan();
  }

  /** After the database was closed: all that is in its log is made durable, and counted. */
  async close({ isWhole }: { readonly isWhole: boolean }): Promise<void> {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#writing;
    if (isWhole) this.#measured = (await syncedLog(this.#folder)) ?? this.#measured;
    await this.#write();
  }

  #plan(): void {
    if (this.#timer || this.#writing || this.#isClosed) return;
    const waitMs = Math.max(0, this.#wroteAtMs + LIMITS.databaseTallyMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#writing = this.#write().finally(() => {
        this.#writing = null;
        if (this.#measured) this.#plan();
      });
    }, waitMs);
    this.#timer.unref();
  }

  /** Never rejects: a disk that refuses has the writes of the database to tell it. */
  async #write(): Promise<void> {
    const tally = this.#measured;
    this.#measured = null;
    this.#wroteAtMs = performance.now();
    if (!tally) return;
    const path = join(this.#folder, TALLY);
    if ((await standsAt(path)) === 'other') return;
    try {
      await writeFile(`${path}.new`, JSON.stringify(tally), { flush: true });
      // No fsync of the folder: after a power cut the one before counts, which holds as well.
      await rename(`${path}.new`, path);
    } catch {
      await rm(`${path}.new`, { force: true }).catch(() => {}); // the next one writes over it
    }
  }
}

/** Forgets what was counted of a database that was opened, whose log is another one now. */
export async function dropTally(folder: string): Promise<void> {
  const path = join(folder, TALLY);
  if ((await standsAt(path)) === 'tally') await rm(path, { force: true });
}

/** A pipe, folder or link of that name is not ours: it is neither read nor replaced. */
async function standsAt(path: string): Promise<'nothing' | 'tally' | 'other'> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return 'nothing';
  return found.isFile() && found.size <= LIMITS.databaseTallyBytesMax ? 'tally' : 'other';
}

/** Why a log has less than the disk once had; null when it has all, or nothing was counted. */
export async function missingOfLog(folder: string): Promise<string | null> {
  const tally = await readTally(join(folder, TALLY));
  if (!tally) return null;
  // After the tally: a broker that runs in there may be about to begin another log.
  const logs = logsIn(await readdir(folder));
  if (!logs.includes(tally.log)) {
    // LevelDB removes a log when all of it is in a table and a newer one goes on.
    const isRetired = logs.some((name) => numberOf(name) > numberOf(tally.log));
    return isRetired ? null : `its log ${tally.log} is missing`;
  }
  const log = await readFile(join(folder, tally.log)).catch(() => null);
  if (log === null) return null; // LevelDB says why it cannot be read
  const whole = recordsEnd(log);
  if (whole >= tally.bytes) return null;
  return `${tally.log} was cut or emptied (got ${whole} bytes of records, want ${tally.bytes})`;
}

async function readTally(path: string): Promise<Tally | null> {
  if ((await standsAt(path)) !== 'tally') return null;
  const bytes = await readFile(path).catch(() => null);
  if (bytes === null) return null;
  return nullIfRefused(() => {
    const json = parseStrictJson(bytes, TALLY, LIMITS.databaseTallyBytesMax);
    const tally = tallySchema.safeParse(json).data;
    return tally && logsIn([tally.log]).length === 1 ? tally : null;
  });
}

async function liveLog(folder: string): Promise<Tally | null> {
  try {
    const log = newest(await readdir(folder));
    return log === null ? null : { log, bytes: (await stat(join(folder, log))).size };
  } catch {
    return null; // just removed, or the disk refuses: not counted
  }
}

async function syncedLog(folder: string): Promise<Tally | null> {
  const found = await liveLog(folder);
  if (!found) return null;
  try {
    const file = await open(join(folder, found.log), 'r');
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
    return found;
  } catch {
    return null;
  }
}

const newest = (names: readonly string[]): string | null =>
  logsIn(names).reduce<string | null>(
    (best, one) => (best === null || numberOf(one) > numberOf(best) ? one : best),
    null,
  );
