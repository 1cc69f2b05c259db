/**
 * Keeps messages for absent sessions between PUBACK and their queue. Aedes acknowledges first and
 * queues later; a kill in between would lose an acknowledged message. So the message is written
 * here, with fsync, before PUBACK, and removed once it is queued. Entries that are left at a start
 * are sent again. The journal shares the database of the sessions: with one log, the removal cannot
 * outlive the queueing.
 */

import { base64ToBytes, bytesToBase64 } from '../../shared/crypto/bytes.ts';
import type { SessionsDatabase } from './persistence.ts';

const PREFIX = 'journal:';
const RANGE = { gte: PREFIX, lt: 'journal;', valueEncoding: 'utf8' } as const;

export interface JournalEntry {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 1 | 2;
}

export class IngestJournal {
  readonly #database: SessionsDatabase;
  #next = 0;

  constructor(database: SessionsDatabase) {
    this.#database = database;
  }

  /** Entries that a killed broker left, oldest first. Call once, before the first `add`. */
  async leftovers(): Promise<{ key: string; entry: JournalEntry }[]> {
    const found: { key: string; entry: JournalEntry }[] = [];
    for await (const [key, text] of this.#database.entries(RANGE)) {
      const { topic, payload, qos } = JSON.parse(text as string) as {
        topic: string;
        payload: string;
        qos: 1 | 2;
      };
      found.push({
        key,
        entry: { topic, payload: base64ToBytes(payload) ?? new Uint8Array(), qos },
      });
      this.#next = Math.max(this.#next, Number(key.slice(PREFIX.length)) + 1);
    }
    return found;
  }

  /** Durable when it resolves. */
  async add(entry: JournalEntry): Promise<string> {
    const key = `${PREFIX}${String(this.#next).padStart(16, '0')}`;
    this.#next += 1;
    const text = JSON.stringify({ ...entry, payload: bytesToBase64(entry.payload) });
    await this.#database.put(key, text, { valueEncoding: 'utf8', sync: true });
    return key;
  }

  async remove(key: string): Promise<void> {
    await this.#database.del(key);
  }
}
