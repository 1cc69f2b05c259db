/**
 * Watches the retained `fleet/updates` and the progress of rollouts on a broker from the beginning
 * of a publish to its end, so that an announcement that another publisher sends meanwhile is
 * noticed and never silently overwritten.
 */

import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  LEASE_TOPIC,
  parseTopic,
  PROGRESS_FILTER,
  UPDATES_TOPIC,
} from '../../shared/formats/topics.ts';
import type { BrokerLink } from '../transfer/broker-link.ts';
import { Subscription } from './subscription.ts';

export class AnnouncementBoard {
  readonly #link: BrokerLink;
  readonly #progress = new Map<string, Uint8Array>();
  #current: Uint8Array | null = null;
  #lease: Uint8Array | null = null;
  #subscription: Subscription | null = null;

  private constructor(link: BrokerLink) {
    this.#link = link;
  }

  /** Resolves when the retained messages have arrived. */
  static async open(link: BrokerLink): Promise<AnnouncementBoard> {
    const board = new AnnouncementBoard(link);
    board.#subscription = await Subscription.open(link, {
      filters: [UPDATES_TOPIC, PROGRESS_FILTER, LEASE_TOPIC],
      onMessage: (topic, payload) => board.#onMessage(topic, payload),
    });
    await board.#subscription.settle();
    return board;
  }

  /** The envelope on `fleet/updates`; null when there is none. */
  get current(): Uint8Array | null {
    return this.#current;
  }

  /** Progress envelopes, not verified. */
  get progress(): Iterable<Uint8Array> {
    return this.#progress.values();
  }

  /** The envelope of the leading controller's lease, not verified; null when there is none. */
  get lease(): Uint8Array | null {
    return this.#lease;
  }

  close(): void {
    this.#subscription?.close();
  }

  #onMessage(topic: string, payload: Uint8Array): void {
    const kind = parseTopic(topic)?.kind;
    const bytes = payload.byteLength === 0 ? null : new Uint8Array(payload);
    if (kind === 'updates') this.#current = bytes;
    if (kind === 'lease') this.#lease = bytes;
    if (kind !== 'progress') return;
    if (bytes) this.#progress.set(topic, bytes);
    else this.#progress.delete(topic);
  }

  /**
   * Replaces `base` by `next` and reads it back.
   * @throws DroverError SEQ_CONFLICT when the broker holds a third one, BROKER_REFUSED when it
   *   keeps none, BROKER_UNREACHABLE, ACCESS_DENIED
   */
  async replace(base: Uint8Array | null, next: Uint8Array): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#link.waitUp();
        await this.#subscription?.settle();
        if (this.#isOn(next)) break; // stored, and only the acknowledgement was lost
        this.#assertOneOf(base, next);
        await this.#link.wire.send(UPDATES_TOPIC, next, { retain: true, qos: 1 });
        break;
      } catch (error) {
        const cut = error instanceof DroverError && error.code === 'BROKER_UNREACHABLE';
        if (!cut || attempt >= LIMITS.uploadAttemptsMax) throw error;
      }
    }
    await this.#readBack(base, next);
  }

  async #readBack(base: Uint8Array | null, next: Uint8Array): Promise<void> {
    const untilMs = Date.now() + LIMITS.readAnnouncementMsMax;
    // Counted in checks as well: on a machine that is suspended for a while, time alone proves
    // little.
    for (let look = 1; look <= LIMITS.readAnnouncementLooksMin || Date.now() < untilMs; look += 1) {
      await this.#link.waitUp();
      await this.#subscription?.again(() => {
        this.#current = null;
      });
      await this.#subscription?.settle();
      if (this.#isOn(next)) return;
      this.#assertOneOf(base, next);
    }
    throw new DroverError(
      'BROKER_REFUSED',
      `announce: the broker acknowledged ${UPDATES_TOPIC} but did not keep it`,
      {
        hint: 'check that this user may write fleet/updates, and that the broker retains messages',
      },
    );
  }

  #isOn(bytes: Uint8Array): boolean {
    return this.#current !== null && bytesEqual(this.#current, bytes);
  }

  #assertOneOf(base: Uint8Array | null, next: Uint8Array): void {
    const isBase = base !== null && this.#isOn(base);
    if (this.#current === null || isBase || this.#isOn(next)) return;
    throw new DroverError(
      'SEQ_CONFLICT',
      'announce: another announcement was published at the same moment',
    );
  }
}
