/**
 * Handles subscriptions to chunks before Aedes sees them: see docs/decisions/0012-chunk-serving.md.
 * A SUBSCRIBE of nothing but chunks is granted, recorded and answered here. A packet with both
 * kinds of filters, and one for a session that Aedes keeps, goes to Aedes and comes here afterwards
 * through `subscribed`. Chunks are granted with QoS 0, whatever was requested: TCP delivers them,
 * and a puller checks each hash and asks again, so an acknowledgement for each would have no use.
 */

import type { Client } from 'aedes';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { Log } from '../../shared/base/ports.ts';
import { chunkOfFilter } from '../../shared/formats/topics.ts';
import {
  isReady,
  isSubscribed,
  keepsSession,
  lookAhead,
  writeSubAck,
  writeUnsubAck,
  type ClientPacket,
} from './aedes-client.ts';
import { ChunkSender } from './chunk-sender.ts';
import type { FairQueue } from './fair-queue.ts';

export interface ChunkSubscriptionsOptions {
  readonly queue: FairQueue;
  readonly log: Log;
  maySubscribe(client: Client, filter: string): boolean;
  mayReceive(client: Client, topic: string): boolean;
  /** A client gave up a filter that was granted here. */
  onLeft(client: Client, filter: string): void;
  /** A client subscribed to this chunk, which may not be stored yet. */
  onAsked(hash: Sha256Hex): void;
}

export class ChunkSubscriptions {
  readonly #options: ChunkSubscriptionsOptions;
  readonly #waiters = new ChunkWaiters();
  readonly #sender: ChunkSender;

  constructor(options: ChunkSubscriptionsOptions) {
    this.#options = options;
    this.#sender = new ChunkSender({
      lend: (client, hash) => options.queue.lend(client, hash),
      isAsking: (client, hash) => this.#waiters.has(client, hash),
      mayReceive: options.mayReceive,
      log: options.log,
    });
  }

  /** Call before the first packet of a client. */
  watch(client: Client): void {
    lookAhead(client, (packet) => this.#take(client, packet));
  }

  /** Call when SUBACK is written. */
  subscribed(client: Client, filters: readonly string[]): void {
    for (const filter of filters) {
      const hash = chunkOfFilter(filter);
      if (hash !== null) this.#ask(client, hash);
    }
  }

  unsubscribed(client: Client, filters: readonly string[]): void {
    for (const filter of filters) {
      const hash = chunkOfFilter(filter);
      if (hash !== null) this.#waiters.remove(client, hash);
    }
  }

  left(client: Client): void {
    this.#waiters.removeAll(client);
    this.#options.queue.leave(client);
  }

  /** A chunk was stored or is wanted again: clients that wait get it. */
  deliver(hash: Sha256Hex): void {
    for (const client of this.#waiters.of(hash)) this.#sender.send(client, hash, false);
  }

  /** @returns false for a packet that Aedes has to handle */
  #take(client: Client, packet: ClientPacket): boolean {
    if (packet.cmd === 'subscribe') return this.#takeSubscribe(client, packet);
    if (packet.cmd !== 'unsubscribe' || !isReady(client) || keepsSession(client)) return false;
    const { messageId, unsubscriptions: filters } = packet;
    const isOurs = (filter: string): boolean =>
      chunkOfFilter(filter) !== null && !isSubscribed(client, filter);
    if (!filters.every(isOurs)) return false;
    this.unsubscribed(client, filters);
    for (const filter of filters) this.#options.onLeft(client, filter);
    writeUnsubAck(client, messageId);
    return true;
  }

  #takeSubscribe(
    client: Client,
    { messageId, subscriptions }: Extract<ClientPacket, { cmd: 'subscribe' }>,
  ): boolean {
    const hashes: Sha256Hex[] = [];
    for (const one of subscriptions) {
      const hash = chunkOfFilter(one.topic);
      if (hash === null) continue;
      one.qos = 0;
      hashes.push(hash);
    }
    const isOurs = hashes.length === subscriptions.length;
    if (!isOurs || !isReady(client) || keepsSession(client)) return false;
    const granted = subscriptions.map(({ topic }) => this.#options.maySubscribe(client, topic));
    writeSubAck(
      client,
      messageId,
      granted.map((isGranted) => (isGranted ? 0 : null)),
    );
    for (const [at, hash] of hashes.entries()) if (granted[at]) this.#ask(client, hash);
    return true;
  }

  #ask(client: Client, hash: Sha256Hex): void {
    // Register the waiter first: the chunk may arrive during the lookup.
    this.#waiters.add(client, hash);
    this.#sender.send(client, hash, true);
    this.#options.onAsked(hash);
  }
}

/**
 * Remembers which clients wait for which chunk. A chunk is never queued for an absent client: that
 * client asks again.
 */
class ChunkWaiters {
  /** Bounded by the subscriptions that each client may have. */
  readonly #waiting = new Map<Sha256Hex, Set<Client>>();
  readonly #asked = new WeakMap<Client, Set<Sha256Hex>>();

  add(client: Client, hash: Sha256Hex): void {
    const waiting = this.#waiting.get(hash);
    if (waiting) waiting.add(client);
    else this.#waiting.set(hash, new Set([client]));
    const asked = this.#asked.get(client);
    if (asked) asked.add(hash);
    else this.#asked.set(client, new Set([hash]));
  }

  has(client: Client, hash: Sha256Hex): boolean {
    return this.#asked.get(client)?.has(hash) === true;
  }

  remove(client: Client, hash: Sha256Hex): void {
    const waiting = this.#waiting.get(hash);
    if (!waiting?.delete(client)) return;
    this.#asked.get(client)?.delete(hash);
    if (waiting.size === 0) this.#waiting.delete(hash);
  }

  removeAll(client: Client): void {
    for (const hash of [...(this.#asked.get(client) ?? [])]) this.remove(client, hash);
  }

  of(hash: Sha256Hex): readonly Client[] {
    return [...(this.#waiting.get(hash) ?? [])];
  }
}
