/**
 * Stores the state of garbage collection across restarts: the total running time of a broker on
 * this data folder, since when each chunk is not needed, and which chunks an external engine holds.
 * Running time is counted here and not read from a clock: a wall clock that jumps by forty years
 * deletes nothing.
 * A power cut may lose entries, which only makes chunks live longer; the deletion of a mark is
 * fsynced. The whole folder may be deleted: the keep time of every chunk then starts again.
 */

import { isSha256Hex, type Sha256Hex } from '../../shared/base/ids.ts';
import { DurableLevel, type Operation } from '../control/durable-level.ts';
import type { GarbageView, GarbageMark, UptimeMs } from './ledger.ts';

type Place = GarbageView['place'];

const UPTIME = 'uptime';
const HELD = 'held/';
const MARK = 'mark/';
const PLACES = ['store', 'engine', 'copies'] as const;
const WAS_ANNOUNCED = ' announced';

/** The marks of one place. */
export interface GarbageMarks {
  load(): Promise<Map<Sha256Hex, GarbageMark>>;
  put(hashes: readonly Sha256Hex[], mark: GarbageMark): Promise<void>;
  delete(hashes: readonly Sha256Hex[], isUrgent: boolean): Promise<void>;
}

export class GarbageBook {
  readonly #database: DurableLevel;
  readonly #startedAtMs = performance.now();
  readonly #before: UptimeMs;
  /** True when the database was just created. */
  readonly isNew: boolean;

  private constructor(database: DurableLevel, before: UptimeMs | null) {
    this.#database = database;
    this.#before = before ?? 0;
    this.isNew = before === null;
  }

  /**
   * @param places the places in use; the marks of every other place are deleted, because its uses
   *   are no longer recorded
   * @throws DroverError DATA_LOCKED, FILE_UNREADABLE
   */
  static async open(folder: string, places: readonly Place[]): Promise<GarbageBook> {
    const database = await DurableLevel.open(folder, 'utf8');
    const kept = new Set<Place>(places);
    for (const place of PLACES) {
      if (!kept.has(place)) await database.clear(rangeOf(`${MARK}${place}/`));
    }
    const before = Number(await database.get(UPTIME));
    return new GarbageBook(database, Number.isFinite(before) ? before : null);
  }

  get uptimeMs(): UptimeMs {
    return this.#before + Math.floor(performance.now() - this.#startedAtMs);
  }

  async saveUptime(): Promise<void> {
    await this.#database.put(UPTIME, String(this.uptimeMs));
  }

  marksOf(place: Place): GarbageMarks {
    const prefix = `${MARK}${place}/`;
    const database = this.#database;
    return {
      load: async () => {
        const marks = new Map<Sha256Hex, GarbageMark>();
        for await (const [key, value] of database.entries(rangeOf(prefix))) {
          const hash = key.slice(prefix.length);
          const mark = parseMark(String(value));
          if (mark && isSha256Hex(hash)) marks.set(hash, mark);
        }
        return marks;
      },
      put: async (hashes, { sinceMs, wasAnnounced }) => {
        const value = `${sinceMs}${wasAnnounced ? WAS_ANNOUNCED : ''}`;
        await database.batch(hashes.map((hash) => ({ type: 'put', key: prefix + hash, value })));
      },
      delete: async (hashes, isUrgent) => {
        const dels: Operation[] = hashes.map((hash) => ({ type: 'del', key: prefix + hash }));
        await database.batch(dels, { sync: isUrgent });
      },
    };
  }

  /** Chunks that an external engine holds. */
  async held(): Promise<Set<Sha256Hex>> {
    const held = new Set<Sha256Hex>();
    for await (const [key] of this.#database.entries(rangeOf(HELD))) {
      const hash = key.slice(HELD.length);
      if (isSha256Hex(hash)) held.add(hash);
    }
    return held;
  }

  async hold(hashes: readonly Sha256Hex[]): Promise<void> {
    await this.#database.batch(
      hashes.map((hash) => ({ type: 'put', key: HELD + hash, value: '' })),
    );
  }

  async release(hash: Sha256Hex): Promise<void> {
    await this.#database.del(HELD + hash);
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** Our keys are ASCII. */
const rangeOf = (prefix: string) => ({ gte: prefix, lt: `${prefix}~` });

/** Null for a mark of another version: the keep time of the chunk starts again. */
function parseMark(text: string): GarbageMark | null {
  const wasAnnounced = text.endsWith(WAS_ANNOUNCED);
  const number = wasAnnounced ? text.slice(0, -WAS_ANNOUNCED.length) : text;
  const sinceMs = /^\d{1,15}$/.test(number) ? Number(number) : null;
  return sinceMs === null ? null : { sinceMs, wasAnnounced };
}
