/**
 * Events of robots as an engine of somebody else brought them. An event is acknowledged to that
 * engine when it is written here with fsync, so a kill of either loses none; what was written is
 * known again after a start, so an event that comes twice is told from a new one.
 */

import { Level } from 'level';
import { toProblem } from '../../shared/errors.ts';
import { parseRobotId, type RobotId } from '../../shared/ids.ts';
import { LIMITS } from '../../shared/limits.ts';
import { parseRobotEvent, type RobotEvent } from '../../shared/messages.ts';
import type { Log } from '../../shared/ports.ts';
import { openLevel } from './control-store.ts';

const PREFIX = 'event/';
const RANGE = { gte: PREFIX, lt: 'event0' };
const CLIENT_KEY = 'client';
const keyOf = (at: number): string => `${PREFIX}${String(at).padStart(16, '0')}`;

export class EventJournal {
  readonly #database: Level<string, string>;
  #next = 0;

  private constructor(database: Level<string, string>) {
    this.#database = database;
  }

  /** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
  static async open(folder: string): Promise<EventJournal> {
    const database = new Level<string, string>(folder, { valueEncoding: 'utf8' });
    await openLevel(database, folder);
    const journal = new EventJournal(database);
    for await (const key of database.keys({ ...RANGE, reverse: true, limit: 1 })) {
      journal.#next = Number(key.slice(PREFIX.length)) + 1;
    }
    return journal;
  }

  /** The name this data folder goes by on the engine: its session there belongs to it. */
  async clientId(make: () => string): Promise<string> {
    const known = await this.#database.get(CLIENT_KEY);
    if (known !== undefined) return known;
    const made = make();
    await this.#database.put(CLIENT_KEY, made, { sync: true });
    return made;
  }

  /** Oldest first. One damaged entry must not hide the others. */
  async *events(log: Log): AsyncIterable<RobotEvent> {
    for await (const text of this.#database.values(RANGE)) {
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
    const batch = this.#database.batch();
    batch.put(keyOf(at), `${robot} ${new TextDecoder().decode(payload)}`);
    if (at >= LIMITS.eventJournalMax) batch.del(keyOf(at - LIMITS.eventJournalMax));
    await batch.write({ sync: true });
    this.#next = at + 1;
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}
