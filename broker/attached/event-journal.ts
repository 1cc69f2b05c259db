/**
 * Journal of robot events from an external engine. An event is acknowledged to the engine after it
 * was written here with fsync, so no event is lost when either program is killed. The journal is
 * read at each start, so that an event that arrives twice is recognised.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { parseRobotId, type RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseRobotEvent, type RobotEvent } from '../../shared/formats/messages.ts';
import type { Log } from '../../shared/base/ports.ts';
import { DurableLevel, type Operation, type DatabaseSnapshot } from '../control/durable-level.ts';

const PREFIX = 'event/';
const RANGE = { gte: PREFIX, lt: 'event0' };
const CLIENT_KEY = 'client';
const keyOf = (at: number): string => `${PREFIX}${String(at).padStart(16, '0')}`;

export class EventJournal {
  readonly #database: DurableLevel;
  #next = 0;

  private constructor(database: DurableLevel) {
    this.#database = database;
  }

  /** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
  static async open(folder: string): Promise<EventJournal> {
    const database = await DurableLevel.open(folder, 'utf8');
    const journal = new EventJournal(database);
    for await (const [key] of database.entries({ ...RANGE, reverse: true, limit: 1 })) {
      journal.#next = Number(key.slice(PREFIX.length)) + 1;
    }
    return journal;
  }

  /** The MQTT client id of this data folder: its session on the engine has this id. */
  async clientId(make: () => string): Promise<string> {
    const known = await this.#database.get(CLIENT_KEY);
    if (typeof known === 'string') return known;
    const made = make();
    await this.#database.put(CLIENT_KEY, made, { sync: true });
    return made;
  }

  /** Uses another client id from now on. */
  async forgetClientId(): Promise<void> {
    await this.#database.del(CLIENT_KEY, { sync: true });
  }

  /** Yields the oldest event first. It skips a damaged entry, so that the others are still read. */
  async *events(log: Log): AsyncIterable<RobotEvent> {
    for await (const value of this.#database.values(RANGE)) {
      const text = String(value);
      const at = text.indexOf(' ');
      try {
        const payload = new TextEncoder().encode(text.slice(at + 1));
        yield { ...parseRobotEvent(payload), robot_id: parseRobotId(text.slice(0, at)) };
      } catch (error) {
        log.error({ problem: toProblem(error) }, 'journal entry cannot be read: left out');
      }
    }
  }

  /** Durable when it resolves. */
  async add(robot: RobotId, payload: Uint8Array): Promise<void> {
    const at = this.#next;
    const value = `${robot} ${new TextDecoder().decode(payload)}`;
    const operations: Operation[] = [{ type: 'put', key: keyOf(at), value }];
    const oldest = at - LIMITS.eventJournalMax;
    if (oldest >= 0) operations.push({ type: 'del', key: keyOf(oldest) });
    await this.#database.batch(operations, { sync: true });
    this.#next = at + 1;
  }

  /** Rejects while the disk takes no writes. */
  async assertWritable(): Promise<void> {
    await this.#database.assertWritable();
  }

  snapshot(): DatabaseSnapshot {
    return this.#database.snapshot();
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}
