/**
 * The persistence of Aedes, behind its interface. Retained control messages come from our own
 * store. Chunks are never read here: the engine sends them itself (chunk-sender.ts).
 * aedes-persistence-level keeps sessions, queues and wills. See
 * docs/decisions/0002-control-persistence.md.
 */

import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js';
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setImmediate as loopTurns } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import { SerialQueue, TopicMutex } from '../../shared/base/serial-queue.ts';
import { chunkOfFilter, parseTopic } from '../../shared/formats/topics.ts';
import { ANYONE } from '../access/access.ts';
import type { ControlStore } from '../control/control-store.ts';
import { DurableLevel } from '../control/durable-level.ts';
import { queuedBytes, SessionBook, type SessionRecord } from './session-book.ts';
import { drainQueue, packetKey, SessionDrain, type QueuedPacket } from './session-drain.ts';
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
 * Keys of aedes-persistence-level: `subscriptions:<client id, percent-encoded>:<filter>`; the
 * queues below `outgoing` and `outgoing-id` have the same form.
 */
const SUBSCRIPTIONS = {
  gte: 'subscriptions:',
  lt: 'subscriptions;',
  valueEncoding: 'buffer',
} as const;

const TEXT = { valueEncoding: 'utf8' } as const;
/** Our own keys, beside those of Aedes: the owner of each session. */
const OWNERS = { gte: 'owners:', lt: 'owners;', valueEncoding: 'utf8' } as const;
/** Key of the counter of starts. Messages are queued in the order of starts. */
const STARTS = 'starts';
const OUTGOING = { gte: 'outgoing:', lt: 'outgoing;', valueEncoding: 'buffer' } as const;
const NO_OWNER: SessionRecord = { owner: null, awayMs: 0 };

/** A message gets its number when it is written to a client. */
type Sent = { readonly messageId?: number | undefined };
type Outgoing = QueuedPacket & Partial<Deliverable> & Sent;
type StoredMessage = QueuedPacket & Sent & { readonly cmd: string; readonly dup?: boolean };
type Headed = { topic: string; qos: 0 | 1 | 2; retain: boolean };
type Deliverable = Headed & { payload: Uint8Array };

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
  readonly #book = new SessionBook();
  readonly #seldom: SeldomLog;
  #mayKeep: (client: object, filter: string) => boolean = () => false;
  #ownerOf: (client: object) => string = () => ANYONE;
  readonly #queues = new SerialQueue();
  readonly #drains = new WeakMap<object, SessionDrain>();
  /** Queued messages that the engine has not sent yet to connected clients. */
  readonly #onTheirWay = new Set<string>();
  /** By session: messages are marked in the queue in the order in which they are written. */
  readonly #updates = new TopicMutex();

  constructor(options: PersistenceOptions) {
    super(options.sessions);
    this.#sessions = options.sessions;
    this.#control = options.control;
    this.#log = options.log;
    this.#seldom = new SeldomLog(options.log, LIMITS.readErrorLogMs, () => performance.now());
  }

  /** Read-only view of all sessions. */
  get book(): Pick<SessionBook, 'has' | 'mayUse' | 'hasRoomFor' | 'list' | 'orphans'> {
    return this.#book;
  }

  /**
   * Our retained messages were stored before PUBACK, in ingest; Aedes' own ($SYS) need no store.
   */
  override async storeRetained(): Promise<void> {}

  override createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter]);
  }

  /** Yields one message at a time and never an error: an error here would end the process. */
  override createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retained(filters), { objectMode: true, highWaterMark: 1 });
  }

  async *#retained(filters: readonly string[]): AsyncGenerator<StoredPacket> {
    for (const filter of filters) {
      if (chunkOfFilter(filter) !== null) continue; // the engine sends chunks itself
      for (const { topic, payload, qos } of this.#control.match(filter)) {
        yield { cmd: 'publish', topic, payload: Buffer.from(payload), qos, retain: true };
      }
    }
  }

  /** Until this is called, no subscription is stored. */
  keepSubscriptionsIf(
    mayKeep: (client: object, filter: string) => boolean,
    ownerOf: (client: object) => string = () => ANYONE,
  ): void {
    this.#mayKeep = mayKeep;
    this.#ownerOf = ownerOf;
  }

  /** Aedes passes the whole packet as soon as one of its filters was granted. */
  override async addSubscriptions(
    client: ClientLike,
    subscriptions: readonly { topic: string; qos: number }[],
  ): Promise<void> {
    const granted = subscriptions.filter(({ topic }) => this.#mayKeep(client, topic));
    // First, also if the disk refuses it: a useless queued message is better than a lost one.
    for (const { topic, qos } of granted) this.#filters.set(client.id, topic, qos);
    if (granted.length > 0) await this.use(client.id, this.#ownerOf(client));
    await super.addSubscriptions(client, granted);
  }

  /**
   * The client of a session is connected: the session belongs to this user and is no longer away.
   */
  async use(session: string, owner: string): Promise<void> {
    const record = this.#book.use(session, owner);
    if (record) await this.#store([{ session, ...record }]);
  }

  /**
   * The name of this run of the broker, which begins the key of each message that it queues. Names
   * of later runs sort after it, so that a queue keeps its order over restarts; they all sort after
   * the random names of 0.1.
   */
  async nextRun(): Promise<string> {
    const before = Number((await this.#sessions.get(STARTS, TEXT)) ?? 0);
    try {
      await this.#sessions.put(STARTS, String(before + 1), TEXT);
    } catch (error) {
      // The next start would use the same name, and overwrite messages that this run queued.
      this.#log.warn({ error: String(error) }, 'start could not be counted');
      return randomUUID();
    }
    return `run-${String(before + 1).padStart(12, '0')}`;
  }

  /** Call before a client's first message: until its queue is empty, it gets all from there. */
  beginDrain(client: object): void {
    this.#drains.set(client, new SessionDrain());
  }

  /** True when this message reaches the client from the queue of its session, and not directly. */
  comesFromQueue(client: ClientLike, packet: QueuedPacket & Sent & Headed): boolean {
    const drain = this.#drains.get(client);
    const isQueued = packet.qos > 0 && !packet.retain && packet.messageId === undefined;
    if (!drain || !isQueued || !packet.brokerId) return false;
    const keeps = this.#filters.match(packet.topic).some(({ clientId }) => clientId === client.id);
    const holds = keeps && drain.holds(packet);
    if (drain.isOver) this.#drains.delete(client);
    return holds;
  }

  /** Call when the engine has sent this message to all connected clients. */
  published(packet: QueuedPacket): void {
    this.#onTheirWay.delete(packetKey(packet));
  }

  override outgoingStream(client: ClientLike): Readable {
    return Readable.from(this.#drained(client), { objectMode: true, highWaterMark: 1 });
  }

  /** Aedes writes these messages one by one, and calls `outgoingUpdate` before each. */
  async *#drained(client: ClientLike): AsyncGenerator<StoredMessage> {
    const drain = this.#drains.get(client) ?? new SessionDrain();
    const messages = drainQueue(drain, {
      read: (): AsyncIterable<StoredMessage> => super.outgoingStream(client),
      isOnItsWay: (message) => this.#onTheirWay.has(packetKey(message)),
      loopTurns: () => loopTurns(),
    });
    // A message has a number when it was sent on an earlier connection [MQTT-3.3.1-1].
    for await (const message of messages) {
      const isAgain = message.cmd === 'publish' && (message.messageId ?? 0) > 0;
      yield isAgain ? { ...message, dup: true } : message;
    }
    if (drain.isOver) this.#drains.delete(client);
  }

  /** True when this client id has stored subscriptions. */
  has(session: string): boolean {
    return this.#filters.has(session);
  }

  /** Deletes a session: its filters, its queue and its owner. */
  async removeSession(session: string): Promise<void> {
    const client = { id: session };
    await this.cleanSubscriptions(client);
    await this.cleanIncoming(client);
    await this.#forget(session);
  }

  /** Counts the time that clients are away, and ends sessions whose clients do not return. */
  async age(elapsedMs: number, isConnected: (session: string) => boolean): Promise<void> {
    const { changed, expired } = this.#book.age(elapsedMs, isConnected);
    await this.#store(changed);
    for (const session of expired) {
      await this.removeSession(session);
      this.#log.info({ client: session }, 'removed a session whose client did not come back');
    }
  }

  async #store(records: readonly (SessionRecord & { session: string })[]): Promise<void> {
    if (records.length === 0) return;
    const operations = records.map(({ session, ...record }) => ({
      ...{ type: 'put' as const, key: ownerKey(session), value: JSON.stringify(record) },
      valueEncoding: 'utf8' as const,
    }));
    await this.#sessions.batch(operations);
  }

  async #forget(session: string): Promise<void> {
    this.#book.end(session);
    await this.#sessions.del(ownerKey(session));
  }

  override async removeSubscriptions(client: ClientLike, topics: readonly string[]): Promise<void> {
    await super.removeSubscriptions(client, topics);
    for (const topic of topics) this.#filters.delete(client.id, topic);
    await this.#forgetIfEmpty(client.id);
  }

  async #forgetIfEmpty(session: string): Promise<void> {
    if (this.#filters.has(session) || this.#book.messages(session) > 0) return;
    await this.#forget(session);
  }

  /**
   * A client with a clean session has no queue from before [MQTT-3.1.2-6]. Aedes empties the queue
   * after CONNACK, so a client that reconnects quickly would still get the old messages.
   */
  override async cleanSubscriptions(client: ClientLike): Promise<void> {
    await super.cleanSubscriptions(client);
    await this.#queues.run(() => this.#clearQueue(client.id));
  }

  async #clearQueue(session: string): Promise<void> {
    if (this.#book.messages(session) === 0) return;
    for (const kind of ['outgoing', 'outgoing-id']) {
      const prefix = `${kind}:${encodeURIComponent(session)}`;
      await this.#sessions.clear({ gte: `${prefix}:`, lt: `${prefix};` });
    }
    await this.#forget(session);
  }

  override async subscriptionsByTopic(
    topic: string,
  ): Promise<{ clientId: string; qos: number; topic: string }[]> {
    return this.#filters.match(topic);
  }

  override async setup(broker: object): Promise<void> {
    await super.setup(broker);
    const ids = new Set<string>();
    for await (const [key] of this.#sessions.entries(SUBSCRIPTIONS)) {
      ids.add(sessionOf(key));
    }
    for (const id of ids) {
      const kept = await this.subscriptionsByClient({ id });
      for (const { topic, qos } of kept) this.#filters.set(id, topic, qos);
      this.#book.load(id, NO_OWNER);
    }
    for await (const [key, text] of this.#sessions.entries(OWNERS)) {
      this.#book.load(sessionOf(key), JSON.parse(text as string) as SessionRecord);
    }
    for await (const [key, value] of this.#sessions.entries(OUTGOING)) {
      this.#book.loadMessage(sessionOf(key), (value as Uint8Array).length);
    }
  }

  /**
   * Runs one call at a time: messages that are queued first are also sent first to connected
   * clients, and no other message changes the queue length that `outgoingEnqueue` reads.
   */
  override async outgoingEnqueueCombi(
    subscriptions: readonly { clientId: string }[],
    packet: Deliverable & QueuedPacket,
  ): Promise<unknown> {
    if (subscriptions.length > 0) this.#onTheirWay.add(packetKey(packet));
    return await this.#queues.run(() => super.outgoingEnqueueCombi(subscriptions, packet));
  }

  /**
   * Stores a will in case this process is killed; while it runs, Aedes has the will in memory. A
   * full disk must not prevent robots, which all have a will, from reading chunks.
   */
  override async putWill(client: ClientLike, packet: object): Promise<void> {
    try {
      await super.putWill(client, packet);
    } catch (error) {
      this.#log.warn({ client: client.id, error: String(error) }, 'will could not be stored');
    }
  }

  /**
   * Aedes waits for this and must not get a failure, which would end the process. A will that stays
   * is published at the next start; its robot then counts as offline until it reports.
   */
  override async delWill(client: ClientLike): Promise<unknown> {
    try {
      return await super.delWill(client);
    } catch (error) {
      // The engine calls this for its last clients after it has ended.
      if (this.#sessions.isClosed) return undefined;
      this.#log.warn({ client: client.id, error: String(error) }, 'will could not be removed');
      return undefined;
    }
  }

  /**
   * Marks a message before it is sent. A message that is not in the queue because the queue was
   * full is sent as well; Aedes alone would end the connection.
   */
  override async outgoingUpdate(client: ClientLike, packet: Outgoing): Promise<void> {
    try {
      await this.#updates.run(client.id, () => super.outgoingUpdate(client, packet));
      if (packet.qos === 2) this.#book.note(client.id, packet.messageId, queuedBytes(packet));
    } catch (error) {
      if (!(error instanceof Error && error.message === 'no such packet')) throw error;
    } finally {
      this.#drains.get(client)?.wrote(packet);
    }
  }

  /** A clean session has no queue, so its PUBACKs must not read the database. */
  override async outgoingClearMessageId(client: ClientLike, packet: Sent): Promise<unknown> {
    if (client.clean === true || packet.messageId === undefined) return undefined;
    const cleared: unknown = await super.outgoingClearMessageId(client, packet);
    if (!cleared) return cleared;
    const bytes = this.#book.noted(client.id, packet.messageId);
    this.#book.unqueue(client.id, bytes ?? queuedBytes(cleared));
    await this.#forgetIfEmpty(client.id);
    return cleared;
  }

  /**
   * A session whose client never returns must not fill the disk: beyond the bound the newest
   * messages are dropped.
   */
  override async outgoingEnqueue(
    sub: { clientId: string; qos?: number },
    packet: Deliverable,
  ): Promise<void> {
    if (parseTopic(packet.topic)?.kind === 'chunk') return; // chunks are pulled, never queued
    const { clientId, qos = packet.qos } = sub;
    if (!this.#book.queue(clientId, queuedBytes(packet))) {
      const facts = { client: clientId };
      this.#seldom.warn(`queue ${clientId}`, facts, 'session queue is full, message dropped');
      return;
    }
    // At most the QoS that was granted [MQTT-3.8.4-6].
    await super.outgoingEnqueue(sub, qos < packet.qos ? { ...packet, qos } : packet);
  }
}

const ownerKey = (session: string): string => `owners:${encodeURIComponent(session)}`;

/** Client id of a key of the database: its second part, percent-encoded. */
const sessionOf = (key: string): string => decodeURIComponent(key.split(':', 2)[1] ?? '');

/** The database of sessions: subscriptions, queues, wills and the ingest journal. */
export type SessionsDatabase = DurableLevel;

/** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
export async function openSessions(folder: string): Promise<SessionsDatabase> {
  return await DurableLevel.open(folder, 'utf8');
}
