/**
 * The broker of a soak: an MQTT link without a socket, so that it follows a simulated clock. It
 * keeps what is retained, serves chunks by their address, takes reports, and can be away.
 */

import type { MqttWireOptions } from '../../shared/io/mqtt-wire.ts';
import type { Wire, WireHandlers } from '../../shared/base/ports.ts';
import { chunkTopic, parseTopic } from '../../shared/formats/topics.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';

const AWAY = new DroverError('BROKER_UNREACHABLE', 'reach broker: it is away');

export class SoakBroker {
  /** Counts of messages from robots, by the last level of the topic. */
  readonly taken = new Map<string, number>();
  readonly #retained = new Map<string, Uint8Array>();
  #isAway = false;
  #link: SoakLink | null = null;

  readonly openWire = (_options: MqttWireOptions, handlers: WireHandlers): Wire => {
    const link = new SoakLink(this, handlers);
    this.#link = link;
    if (!this.#isAway) queueMicrotask(() => handlers.onUp?.());
    return link;
  };

  get isAway(): boolean {
    return this.#isAway;
  }

  get subscriptions(): number {
    return this.#link?.filters ?? 0;
  }

  retained(topic: string): Uint8Array | undefined {
    return this.#retained.get(topic);
  }

  /** Only what is announced is kept, as the store of a broker that collects does. */
  keepChunks(chunks: ReadonlyMap<Sha256Hex, Uint8Array>): void {
    for (const topic of [...this.#retained.keys()]) {
      if (parseTopic(topic)?.kind === 'chunk') this.#retained.delete(topic);
    }
    for (const [hash, bytes] of chunks) this.#retained.set(chunkTopic(hash), bytes);
  }

  /** @param options.isHeard false: the broker forgets to deliver it to who has subscribed */
  retain(topic: string, bytes: Uint8Array, { isHeard } = { isHeard: true }): void {
    this.#retained.set(topic, bytes);
    if (isHeard) this.#link?.offer([topic]);
  }

  /** As a broker forgets a rollout that is announced no more. */
  forget(topic: string): void {
    this.#retained.delete(topic);
  }

  take(topic: string, bytes: Uint8Array, retain: boolean): void {
    const leaf = topic.slice(topic.lastIndexOf('/') + 1);
    this.taken.set(leaf, (this.taken.get(leaf) ?? 0) + 1);
    if (retain) this.#retained.set(topic, bytes);
  }

  matching(filter: string): string[] {
    if (!filter.endsWith('/+')) return this.#retained.has(filter) ? [filter] : [];
    const folder = filter.slice(0, -1);
    return [...this.#retained.keys()].filter((topic) => topic.startsWith(folder));
  }

  away(isAway: boolean): void {
    this.#isAway = isAway;
    if (isAway) this.#link?.drop();
    else this.#link?.handlers.onUp?.();
  }
}

class SoakLink implements Wire {
  readonly #broker: SoakBroker;
  readonly #filters = new Set<string>();
  readonly handlers: WireHandlers;
  #delivered: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(broker: SoakBroker, handlers: WireHandlers) {
    this.#broker = broker;
    this.handlers = handlers;
  }

  get isUp(): boolean {
    return !this.#isClosed && !this.#broker.isAway;
  }

  get filters(): number {
    return this.#filters.size;
  }

  async send(topic: string, payload: Uint8Array, options: { retain: boolean }): Promise<void> {
    if (!this.isUp) throw AWAY;
    this.#broker.take(topic, payload, options.retain);
  }

  async subscribe(filters: readonly string[]): Promise<void> {
    if (!this.isUp) throw AWAY;
    for (const filter of filters) {
      this.#filters.add(filter);
      this.offer(this.#broker.matching(filter));
    }
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) this.#filters.delete(filter);
  }

  /** In order and one at a time, as the port of a link promises. */
  offer(topics: readonly string[]): void {
    for (const topic of topics) {
      const isWanted = [...this.#filters].some((one) => this.#broker.matching(one).includes(topic));
      const bytes = this.#broker.retained(topic);
      if (!isWanted || !bytes || !this.isUp) continue;
      this.#delivered = this.#delivered.then(() => this.handlers.onMessage(topic, bytes, true));
    }
  }

  drop(): void {
    this.#filters.clear();
    this.handlers.onDown?.('it is away');
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#filters.clear();
  }
}
