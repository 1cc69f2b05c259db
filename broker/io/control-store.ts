/**
 * Retained control messages: in memory for lookups, in `level` for ever. A write resolves when it is
 * fsynced, because a PUBACK follows it. Exact filters cost one map lookup; only filters with a
 * wildcard look at all topics, and never at chunks, which do not live here.
 */

import { Level } from 'level';
import { DroverError } from '../../shared/errors.ts';
import { LIMITS } from '../../shared/limits.ts';
import { filterMatches } from '../core/topic-filter.ts';

export interface RetainedMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
}

type Database = Level<string, Uint8Array>;

export class ControlStore {
  readonly #database: Database;
  readonly #messages = new Map<string, RetainedMessage>();

  private constructor(database: Database) {
    this.#database = database;
  }

  /** @throws DroverError USAGE when another broker holds the folder */
  static async open(folder: string): Promise<ControlStore> {
    const database: Database = new Level(folder, { valueEncoding: 'view' });
    await openLevel(database, folder);
    const store = new ControlStore(database);
    for await (const [topic, value] of database.iterator()) {
      const qos = value[0] === 1 || value[0] === 2 ? value[0] : 0;
      store.#messages.set(topic, { topic, payload: value.slice(1), qos });
    }
    return store;
  }

  get size(): number {
    return this.#messages.size;
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
   * @param sync false for what somebody else keeps as well: written, but not waited for by the disk
   * @throws DroverError STORE_FULL
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
      );
    }
    const value = new Uint8Array(payload.byteLength + 1);
    value[0] = qos;
    value.set(payload, 1);
    await this.#database.put(topic, value, { sync });
    this.#messages.set(topic, { topic, payload: value.subarray(1), qos });
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** Opens a level database; its lock tells a second broker on the same folder from a broken one. */
export async function openLevel<K, V>(database: Level<K, V>, folder: string): Promise<void> {
  try {
    await database.open();
  } catch (cause) {
    const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    const isLocked = inner instanceof Error && 'code' in inner && inner.code === 'LEVEL_LOCKED';
    const why = inner instanceof Error ? inner.message : String(inner);
    throw new DroverError(
      isLocked ? 'DATA_LOCKED' : 'FILE_UNREADABLE',
      isLocked ? `open ${folder}: another drover-broker uses it` : `open ${folder}: ${why}`,
      { cause },
    );
  }
}
