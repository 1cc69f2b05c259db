/**
 * The memory of Aedes, in the form that Aedes asks for. Retained control messages come from a store
 * of ours; chunks are never asked for here: the engine sends them by itself (chunk-sender.ts).
 * Sessions, queues and wills are kept by aedes-persistence-level. See
 * docs/decisions/0002-control-persistence.md.
 */

import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js';
import { Readable } from 'node:stream';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { chunkOfFilter, parseTopic } from '../../shared/formats/topics.ts';
import type { ControlStore } from '../control/control-store.ts';
import { SteadyDatabase } from '../control/durable-level.ts';
import { SessionFilters } from './session-filters.ts';

export interface StoredPacket {
  cmd: 'publish';
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
}

interface ClientLike {
  readonly id: string;
  readonly clean?: boolean;
}

/**
 * As aedes-persistence-level names them: `subscriptions:<client id, percent-encoded>:<filter>`, and
 * below `outgoing` and `outgoing-id` the queues in the same way.
 */
const SUBSCRIPTIONS = {
  gte: 'subscriptions:',
  lt: 'subscriptions;',
  valueEncoding: 'buffer',
} as const;

type Deliverable = { topic: string; payload: Uint8Array; qos: 0 | 1 | 2; retain: boolean };

export interface PersistenceOptions {
  readonly sessions: SessionsDatabase;
  readonly control: ControlStore;
  readonly log: Log;
}

export class DroverPersistence extends AsyncLevelPersistence {
  readonly #control: ControlStore;
  readonly #log: Log;
  readonly #sessions: SessionsDatabase;
  readonly #filters = new SessionFilters();
  /** Messages in the queue of each session that was asked for it since the start. */
  readonly #queued = new Map<string, number>();
  #mayKeep: (client: object, filter: string) => boolean = () => false;
  #enqueued: Promise<unknown> = Promise.resolve();

  constructor(options: PersistenceOptions) {
    super(options.sessions);
    this.#sessions = options.sessions;
    this.#control = options.control;
    this.#log = options.log;
  }

  /** Ours were written before PUBACK, in ingest; Aedes' own ($SYS) are not worth keeping. */
  override async storeRetained(): Promise<void> {}

  override createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter]);
  }

  /** One message at a time, and never an error: an error here would end the process. */
  override createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retained(filters), { objectMode: true, highWaterMark: 1 });
  }

  async *#retained(filters: readonly string[]): AsyncGenerator<StoredPacket> {
    for (const filter of filters) {
      if (chunkOfFilter(filter) !== null) continue; // the engine sends those itself
      for (const { topic, payload, qos } of this.#control.match(filter)) {
        yield { cmd: 'publish', topic, payload: Buffer.from(payload), qos, retain: true };
      }
    }
  }

  /** Until this is called nothing is kept. */
  keepSubscriptionsIf(mayKeep: (client: object, filter: string) => boolean): void {
    this.#mayKeep = mayKeep;
  }

  /** Aedes hands over the whole packet as soon as one filter of it was granted. */
  override async addSubscriptions(
    client: ClientLike,
    subscriptions: readonly { topic: string; qos: number }[],
  ): Promise<void> {
    const granted = subscriptions.filter(({ topic }) => this.#mayKeep(client, topic));
    // Also when the disk refuses it: what is kept in vain is better than what is lost.
    for (const { topic, qos } of granted) this.#filters.set(client.id, topic, qos);
    await super.addSubscriptions(client, granted);
  }

  override async removeSubscriptions(client: ClientLike, topics: readonly string[]): Promise<void> {
    await super.removeSubscriptions(client, topics);
    for (const topic of topics) this.#filters.delete(client.id, topic);
    if (!this.#filters.has(client.id)) this.#queued.delete(client.id);
  }

  /**
   * A client that begins anew has no queue from before [MQTT-3.1.2-6]. Aedes empties it after
   * CONNACK, and a client that is quickly back would still be given it.
   */
  override async cleanSubscriptions(client: ClientLike): Promise<void> {
    await super.cleanSubscriptions(client);
    const cleared = this.#enqueued.then(() => this.#clearQueue(client.id));
    this.#enqueued = cleared.catch(() => undefined); // Aedes hears of the failure
    await cleared;
  }

  async #clearQueue(session: string): Promise<void> {
    this.#queued.delete(session);
    if ((await this.#countQueue(session, 1)) === 0) return;
    for (const kind of ['outgoing', 'outgoing-id']) {
      const prefix = `${kind}:${encodeURIComponent(session)}`;
      await this.#sessions.clear({ gte: `${prefix}:`, lt: `${prefix};` });
    }
  }

  override async subscriptionsByTopic(
    topic: string,
  ): Promise<{ clientId: string; qos: number; topic: string }[]> {
    return this.#filters.match(topic);
  }

  /** False for one session more than are kept; one that is there may always go on. */
  hasRoomFor(session: string): boolean {
    return this.#filters.has(session) || this.#filters.sessions < LIMITS.sessionsMax;
  }

  override async setup(broker: object): Promise<void> {
    await super.setup(broker);
    const ids = new Set<string>();
    for await (const [key] of this.#sessions.entries(SUBSCRIPTIONS)) {
      const [, id] = key.split(':', 2);
      if (id !== undefined) ids.add(decodeURIComponent(id));
    }
    for (const id of ids) {
      const kept = await this.subscriptionsByClient({ id });
      for (const { topic, qos } of kept) this.#filters.set(id, topic, qos);
    }
  }

  /**
   * One after the other: what is queued first is also sent first to those who are there, and the
   * count of a queue that `outgoingEnqueue` reads is not changed by another message meanwhile.
   */
  override async outgoingEnqueueCombi(
    subscriptions: readonly { clientId: string }[],
    packet: Deliverable,
  ): Promise<unknown> {
    const before = this.#enqueued;
    const mine = before.then(() => super.outgoingEnqueueCombi(subscriptions, packet));
    this.#enqueued = mine.catch(() => undefined); // Aedes hears of the failure
    return await mine;
  }

  /**
   * Stored for the case that this process is killed; while it lives Aedes has the will in memory. A
   * full disk must not keep robots, which all have one, from the chunks that they came for.
   */
  override async putWill(client: ClientLike, packet: object): Promise<void> {
    try {
      await super.putWill(client, packet);
    } catch (error) {
      this.#log.warn({ client: client.id, error: String(error) }, 'will could not be stored');
    }
  }

  /**
   * Aedes waits for it without hearing of a failure, which would end the process. A will that stays
   * is published at the next start; its robot is then told offline until it speaks.
   */
  override async delWill(client: ClientLike): Promise<unknown> {
    try {
      return await super.delWill(client);
    } catch (error) {
      this.#log.warn({ client: client.id, error: String(error) }, 'will could not be removed');
      return undefined;
    }
  }

  /**
   * What is not in the queue, because that was full, is sent all the same; Aedes would end the
   * connection instead.
   */
  override async outgoingUpdate(client: ClientLike, packet: object): Promise<void> {
    try {
      await super.outgoingUpdate(client, packet);
    } catch (error) {
      if (!(error instanceof Error && error.message === 'no such packet')) throw error;
    }
  }

  /** A clean session has no queue: its PUBACKs must not ask the database. */
  override async outgoingClearMessageId(client: ClientLike, packet: object): Promise<unknown> {
    if (client.clean === true) return undefined;
    const cleared: unknown = await super.outgoingClearMessageId(client, packet);
    if (cleared) this.#count(client.id, -1);
    return cleared;
  }

  /** A session that never returns must not fill the disk: beyond the bound the newest are dropped. */
  override async outgoingEnqueue(sub: { clientId: string }, packet: Deliverable): Promise<void> {
    if (parseTopic(packet.topic)?.kind === 'chunk') return; // chunks are pulled, never queued
    const queued = this.#queued.get(sub.clientId) ?? (await this.#countQueue(sub.clientId));
    if (queued >= LIMITS.queuedPerSessionMax) {
      this.#log.warn({ client: sub.clientId }, 'session queue is full: message dropped');
      return;
    }
    await super.outgoingEnqueue(sub, packet);
    this.#queued.set(sub.clientId, queued + 1);
  }

  async #countQueue(id: string, atMost: number = LIMITS.queuedPerSessionMax): Promise<number> {
    let queued = 0;
    for await (const _ of this.outgoingStream({ id })) {
      queued += 1;
      if (queued >= atMost) break;
    }
    return queued;
  }

  #count(clientId: string, change: number): void {
    const queued = this.#queued.get(clientId);
    if (queued !== undefined) this.#queued.set(clientId, Math.max(0, queued + change));
  }
}

/** The database of sessions: subscriptions, queues, wills and the ingest journal, in one log. */
export type SessionsDatabase = SteadyDatabase;

/** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
export async function openSessions(folder: string): Promise<SessionsDatabase> {
  return await SteadyDatabase.open(folder, 'utf8');
}
