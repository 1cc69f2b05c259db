/**
 * The retained messages of `fleet/log/+` on a broker: read completely, written one at a time, and
 * read back afterwards.
 */

import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { LOG_CHECKPOINT_TOPIC, LOG_FILTER, parseTopic } from '../../shared/formats/topics.ts';
import { readCheckpoint, type Checkpoint } from '../../shared/tlog/checkpoint.ts';
import { Subscription } from '../rollout/subscription.ts';
import type { BrokerLink } from '../transfer/broker-link.ts';
import type { HeldLog } from './read-log.ts';

export class LogBoard implements HeldLog {
  readonly #link: BrokerLink;
  readonly #entries = new Map<number, Uint8Array>();
  #checkpoint: Uint8Array | null = null;
  #subscription: Subscription | null = null;

  private constructor(link: BrokerLink) {
    this.#link = link;
  }

  /** Resolves when the log has arrived. @throws DroverError ACCESS_DENIED, BROKER_UNREACHABLE */
  static async open(link: BrokerLink): Promise<LogBoard> {
    const board = new LogBoard(link);
    board.#subscription = await Subscription.open(link, {
      filters: [LOG_FILTER],
      onMessage: (topic, payload) => board.#hear(topic, payload),
    });
    await board.#settle();
    return board;
  }

  get checkpoint(): Uint8Array | null {
    return this.#checkpoint;
  }

  /** Not verified; null when there is none, or one that cannot be parsed. */
  get head(): Checkpoint | null {
    const bytes = this.#checkpoint;
    return bytes && nullIfRefused(() => readCheckpoint(bytes));
  }

  get entries(): ReadonlyMap<number, Uint8Array> {
    return this.#entries;
  }

  /** Reads it again: a live message may not be the one that is retained. */
  async again(): Promise<void> {
    await this.#link.waitUp();
    await this.#subscription?.again(() => {
      this.#checkpoint = null;
      this.#entries.clear();
    });
    await this.#settle();
  }

  /**
   * @throws DroverError LOG_CONFLICT when the broker already has something else there, and as the
   *   link
   */
  async put(topic: string, payload: Uint8Array): Promise<void> {
    await this.#link.waitUp();
    try {
      await this.#link.wire.send(topic, payload, { retain: true, qos: 1 });
    } catch (cause) {
      if (!(cause instanceof DroverError) || cause.code !== 'LOG_APPEND_ONLY') throw cause;
      throw new DroverError('LOG_CONFLICT', `write log: ${cause.message}`, { cause });
    }
  }

  close(): void {
    this.#subscription?.close();
  }

  /**
   * A long log takes as long as messages arrive: a pause alone does not mean that it is complete.
   */
  async #settle(): Promise<void> {
    for (let before = -1; before < this.#entries.size;) {
      before = this.#entries.size;
      await this.#subscription?.settle();
      if (this.#isWhole()) return;
    }
  }

  #isWhole(): boolean {
    const { head } = this;
    return head === null || this.#entries.size >= head.size;
  }

  #hear(text: string, payload: Uint8Array): void {
    if (text === LOG_CHECKPOINT_TOPIC) {
      this.#checkpoint = payload.byteLength === 0 ? null : payload.slice();
      return;
    }
    const topic = parseTopic(text);
    if (topic?.kind !== 'log-entry' || topic.index >= LIMITS.logEntriesMax) return;
    if (payload.byteLength === 0) this.#entries.delete(topic.index);
    else if (payload.byteLength <= LIMITS.manifestBytesMax) {
      this.#entries.set(topic.index, payload.slice());
    }
  }
}
