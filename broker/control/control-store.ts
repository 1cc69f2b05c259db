/**
 * Stores retained control messages: in memory for lookups, in `level` durably. A write resolves
 * when it is fsynced, because a PUBACK follows it. An exact filter costs one map lookup. Only a
 * filter with a wildcard visits all topics, and never chunks, which are stored elsewhere.
 */

import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { peekAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import { filterMatches, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { DurableLevel, type DatabaseSnapshot } from './durable-level.ts';

export interface RetainedMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
}

export class ControlStore {
  readonly #database: DurableLevel;
  readonly #messages = new Map<string, RetainedMessage>();

  private constructor(database: DurableLevel) {
    this.#database = database;
  }

  /** @throws DroverError DATA_LOCKED when another broker holds the folder, FILE_UNREADABLE */
  static async open(folder: string): Promise<ControlStore> {
    const database = await DurableLevel.open(folder, 'view');
    const store = new ControlStore(database);
    for await (const [topic, stored] of database.entries()) {
      const value = stored as Uint8Array;
      const qos = value[0] === 1 || value[0] === 2 ? value[0] : 0;
      store.#messages.set(topic, { topic, payload: value.slice(1), qos });
    }
    return store;
  }

  get size(): number {
    return this.#messages.size;
  }

  /** Rejects while the disk takes no writes; stored messages are still served. */
  async assertWritable(): Promise<void> {
    await this.#database.assertWritable();
  }

  get(topic: string): RetainedMessage | undefined {
    return this.#messages.get(topic);
  }

  *match(filter: string): Iterable<RetainedMessage> {
    if (!/[+#]/.test(filter)) {
      const message = this.#messages.get(filter);
      if (message) yield message;
      return;
    }
    for (const message of this.#messages.values()) {
      if (filterMatches(filter, message.topic)) yield message;
    }
  }

  /**
   * Durable when it resolves; an empty payload removes.
   * @param sync false for a message that another broker keeps as well: it is written without fsync
   * @throws DroverError STORE_FULL, DISK_FULL, DISK_WRITE_FAILED
   */
  async put(message: RetainedMessage, sync = true): Promise<void> {
    const { topic, payload, qos } = message;
    if (payload.byteLength === 0) {
      await this.#database.del(topic, { sync });
      this.#messages.delete(topic);
      return;
    }
    if (!this.#messages.has(topic) && this.#messages.size >= LIMITS.controlMessagesMax) {
      throw new DroverError(
        'STORE_FULL',
        `keep ${topic}: too many retained messages (want at most ${LIMITS.controlMessagesMax})`,
        { hint: 'forget robots that do not come back: drover fleet retire ROBOT' },
      );
    }
    const value = new Uint8Array(payload.byteLength + 1);
    value[0] = qos;
    value.set(payload, 1);
    await this.#database.put(topic, value, { sync });
    this.#messages.set(topic, { topic, payload: value.subarray(1), qos });
  }

  snapshot(): DatabaseSnapshot {
    return this.#database.snapshot();
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** Null also when it cannot be parsed: a broker without a trust file stores it all the same. */
export function readAnnouncement(control: ControlStore): Announcement | null {
  const stored = control.get(UPDATES_TOPIC);
  return stored ? nullIfRefused(() => peekAnnouncement(stored.payload)) : null;
}
