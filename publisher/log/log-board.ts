/**
 * `fleet/log/+` as a broker retains it: read whole, written one message at a time, and asked again
 * for what really stands there afterwards.
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

  /** Resolves when the log has come. @throws DroverError ACCESS_DENIED, BROKER_UNREACHABLE */
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

  /** Not verified; null when there is none, or none that can be read. */
  get head(): Checkpoint | null {
    const bytes = this.#checkpoint;
    return bytes && nullIfRefused(() => readCheckpoint(bytes));
  }

  get entries(): ReadonlyMap<number, Uint8Array> {
    return this.#entries;
  }

  /** Reads it anew: what came live may not be what is kept. */
  async again(): Promise<void> {
    await this.#link.waitUp();
    await this.#subscription?.again(() => {
      this.#checkpoint = null;
      this.#entries.clear();
    });
    await this.#settle();
  }

  /**
   * @throws DroverError LOG_CONFLICT when the broker has something else there already, and as the
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

  /** A long log comes in for as long as it comes in: quiet alone does not mean that it is whole. */
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
