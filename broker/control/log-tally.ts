/**
 * Stores in the file `tally` how many bytes of the live log of a LevelDB are durable. LevelDB
 * accepts a log that was emptied, or cut between two records, as complete. A power cut removes
 * nothing that was fsynced, so a log that is shorter than its tally is damaged.
 *
 * The length is measured between two writes, right after one that was fsynced. It is written beside
 * the database at most once in `databaseTallyMs`. A tally that is missing, torn or old finds less
 * damage, and never causes a false alarm.
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
   * Call this between two writes, after one that was fsynced. The answer to that write does not
   * wait until the tally is stored.
   */
  async measure(): Promise<void> {
    this.#measured = (await liveLog(this.#folder)) ?? this.#measured;
    this.#plan();
  }

  /** Call this after the database was closed: it syncs the whole log and stores its length. */
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

  /** Never rejects: the writes of the database itself report a disk that refuses. */
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

/** Removes the tally of a database that was opened: its log is another file now. */
export async function dropTally(folder: string): Promise<void> {
  const path = join(folder, TALLY);
  if ((await standsAt(path)) === 'tally') await rm(path, { force: true });
}

/** A pipe, folder or link of that name is not Drover's: it is neither read nor replaced. */
async function standsAt(path: string): Promise<'nothing' | 'tally' | 'other'> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return 'nothing';
  return found.isFile() && found.size <= LIMITS.databaseTallyBytesMax ? 'tally' : 'other';
}

/** Returns why a log has lost durable bytes; null when it is complete, or without a tally. */
export async function missingOfLog(folder: string): Promise<string | null> {
  const tally = await readTally(join(folder, TALLY));
  if (!tally) return null;
  // Read after the tally: a broker that runs on this folder may be starting another log.
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
