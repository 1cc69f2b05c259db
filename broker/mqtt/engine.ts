/**
 * The embedded MQTT engine: Aedes with our rules. A publish is judged, verified and durable before
 * `authorizePublish` ends, because Aedes writes PUBACK right after it.
 * MQTT 3.1.1 cannot say why a message was refused. A client that subscribes to its refusals topic
 * gets the reason there and no PUBACK; any other client is disconnected.
 */

import { Aedes, type AuthenticateError, type Client, type PublishPacket } from 'aedes';
import type { Duplex } from 'node:stream';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { isId, type Sha256Hex } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import { encodeRefusal } from '../../shared/formats/messages.ts';
import { mayRetain, refusalsTopic } from '../../shared/formats/topics.ts';
import { keepNumbersOutOfMemory } from '../../shared/io/packet-numbers.ts';
import { decidePublish, decideReceive, decideSubscribe, type Identity } from '../access/access.ts';
import type { Credentials } from '../access/credentials.ts';
import {
  asBytes,
  asGranted,
  clientOf,
  clientsOf,
  CopyFilter,
  handTo,
  isAuthorized,
  isSubscribed,
  keepsSession,
  neutralise,
  refusedLogin,
  wasGranted,
} from './aedes-client.ts';
import { ChunkSubscriptions } from './chunk-subscriptions.ts';
import { EMBEDDED, type EnginePort, type EngineStatus } from './engine-port.ts';
import { type Incoming } from '../control/intake.ts';
import type { FairQueue } from './fair-queue.ts';
import type { IngestJournal } from './ingest-journal.ts';
import { Logins } from './logins.ts';
import { MessagePace } from './message-pace.ts';
import type { DroverPersistence } from './persistence.ts';
import { Sessions } from './sessions.ts';
import { TopicMutex } from '../../shared/base/serial-queue.ts';

export interface EngineOptions {
  readonly persistence: DroverPersistence;
  readonly journal: IngestJournal;
  readonly queue: FairQueue;
  readonly credentials: Credentials | null;
  /** Says which identities of certificates are still good; absent: all of them are. */
  readonly certificates?: Pick<Credentials, 'isCurrent'> | null;
  /** The identity in a connection's certificate; null when it showed none. */
  certified(connection: Duplex): Identity | 'refused' | null;
  /** False when this user has all the connections of its share. */
  hasShare(connection: Duplex, identity: Identity): boolean;
  /** True when every client must have a name, with or without credentials. */
  readonly needsName: boolean;
  readonly log: Log;
  /** Verifies and stores a message; durable when it resolves, a DroverError when it is refused. */
  ingest(message: Incoming): Promise<'stored-chunk' | 'pass-on'>;
  /** Reads and hashes a chunk again: a robot that received it asks again. */
  recheck(hash: Sha256Hex): Promise<void>;
  onRefused(code: string): void;
  /** A connection has ended; its will is being published. */
  onLeft?(connection: object): void;
  /** A client subscribed to this chunk, which may not be stored yet. */
  onAsked?(hash: Sha256Hex): void;
}

export class Engine implements EnginePort {
  readonly #options: EngineOptions;
  readonly #identities = new WeakMap<Client, Identity>();
  /** Clients named by a certificate: no credentials file admits or ends them. */
  readonly #certified = new WeakSet<Client>();
  readonly #chunks: ChunkSubscriptions;
  readonly #logins: Logins;
  readonly #granted = new WeakMap<object, Set<string>>();
  readonly #journaled = new WeakMap<object, string>();
  readonly #copies = new CopyFilter();
  readonly #topics = new TopicMutex();
  readonly #pace: MessagePace;
  readonly #seldom: SeldomLog;
  readonly sessions: Sessions;
  readonly status: EngineStatus = { ...EMBEDDED, sinceMs: Date.now() };
  #aedes!: Aedes;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { queue, log } = options;
    this.#seldom = new SeldomLog(log, LIMITS.readErrorLogMs, () => performance.now());
    this.#pace = new MessagePace(this.#seldom);
    this.sessions = new Sessions({
      persistence: options.persistence,
      credentials: options.credentials,
      clientOf: (id) => clientOf(this.#aedes, id),
      log,
    });
    this.#logins = new Logins({
      ...options,
      sessions: this.sessions,
      seldom: this.#seldom,
      holderOf: (id) => {
        const client = clientOf(this.#aedes, id);
        return (client && this.#identities.get(client)) ?? null;
      },
    });
    this.#chunks = new ChunkSubscriptions({
      queue,
      log,
      maySubscribe: (client, filter) => this.#maySubscribe(client, filter),
      mayReceive: (client, topic) => this.#mayReceive(client, topic),
      onLeft: (client, filter) => this.#granted.get(client)?.delete(filter),
      onAsked: (hash) => options.onAsked?.(hash),
    });
  }

  /** Resolves when sessions were read and connections and messages are taken. */
  async start(): Promise<void> {
    keepNumbersOutOfMemory();
    const { persistence, log } = this.#options;
    persistence.keepSubscriptionsIf(
      (client, filter) => this.#granted.get(client)?.has(filter) === true,
      (client) => this.sessions.ownerOf(client),
    );
    this.#aedes = await Aedes.createBroker({
      id: await persistence.nextRun(),
      persistence,
      concurrency: LIMITS.deliverySlots,
      connectTimeout: LIMITS.connectTimeoutMs,
      drainTimeout: LIMITS.drainTimeoutMs,
      maxClientsIdLength: LIMITS.idLengthMax,
      preConnect: (client, packet, done) => {
        this.#logins.asked(client, packet);
        this.#copies.takeOver(client);
        this.#chunks.watch(client);
        done(null, true);
      },
      authenticate: (client, username, password, done) => {
        const judged = this.#authenticate(client, username, password).then(
          (error) => done(error, error === null),
          (error: unknown) => {
            // Too many connections concern only the refused client; a flood of them must not flood
            // the log.
            const level = error instanceof DroverError ? 'debug' : 'error';
            log[level]({ error: String(error) }, 'login not judged');
            done(refusedLogin(3), null);
          },
        );
        inBackground(log, 'answer a login', judged);
      },
      authorizePublish: (client, packet, done) => {
        const judged = this.#admit(client, packet).then(
          () => done(null),
          (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
        );
        inBackground(log, 'answer a message', judged);
      },
      authorizeSubscribe: (client, subscription, done) => {
        done(null, this.#maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        const may = this.#mayReceive(client, packet.topic);
        if (!may || persistence.comesFromQueue(client, packet)) return null;
        return this.#copies.isCopy(client, packet) ? null : asGranted(client, packet);
      },
      published: (packet, _client, done) => done(this.#onPublished(packet)),
    });
    this.#listen();
    await this.#replayJournal();
    this.sessions.removeOrphans();
  }

  handle(connection: Duplex): void {
    this.#aedes.handle(connection);
  }

  /**
   * True from just before CONNACK: a client may send large packets as soon as it has read CONNACK.
   */
  isKnown(connection: Duplex): boolean {
    return isAuthorized(connection);
  }

  /** The credentials have changed: disconnects clients that they no longer allow. */
  endOutdated(): void {
    for (const client of clientsOf(this.#aedes)) this.#endIfOutdated(client);
    this.sessions.removeOrphans();
  }

  /** A new chunk was stored: clients that wait for it get it. */
  deliverToWaiting(hash: Sha256Hex): void {
    this.#chunks.deliver(hash);
  }

  /**
   * Sends chunks again to the clients that asked for them with `want`. One that cannot be read now
   * is skipped, and the robot asks again. Never rejects. [P-7.6]
   */
  async answerWant(hashes: readonly Sha256Hex[]): Promise<void> {
    for (const hash of hashes) {
      try {
        await this.#options.recheck(hash);
        this.deliverToWaiting(hash);
      } catch (error) {
        this.#seldom.warn('want', { hash, problem: toProblem(error) }, 'wanted chunk not read');
      }
    }
  }

  /**
   * Publishes a message of the broker, retained where its topic retains: stored when it resolves.
   * @param isWanted called when earlier messages of that topic were handled
   * @throws DroverError when it is refused, as for any client
   */
  async publishOwn(
    topic: string,
    payload: Uint8Array,
    isWanted: () => boolean = () => true,
  ): Promise<void> {
    const sent = { qos: 1, retain: mayRetain(topic) } as const;
    const message = { topic, payload: Buffer.from(payload), ...sent };
    const take = async (): Promise<unknown> => isWanted() && this.#options.ingest(message);
    if ((await this.#topics.run(topic, take)) === false) return;
    const packet = { cmd: 'publish', dup: false, ...message } as const;
    await new Promise<void>((resolve, reject) => {
      this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  }

  async close(): Promise<void> {
    this.sessions.close();
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
  }

  #endIfOutdated(client: Client): void {
    const { credentials, certificates, log } = this.#options;
    const judge = this.#certified.has(client) ? certificates : credentials;
    const identity = this.#identities.get(client);
    if (!judge || (identity && judge.isCurrent(identity))) return;
    log.warn({ client: client.id }, 'credential changed or gone: connection ended');
    client.close();
  }

  #listen(): void {
    const { log } = this.#options;
    const quiet = (client: Client, error: Error): void =>
      log.debug({ client: client?.id, error: error.message }, 'client error');
    this.#aedes.on('clientError', quiet);
    this.#aedes.on('connectionError', quiet);
    const fail = (error: unknown): void => log.error({ error: String(error) }, 'engine error');
    this.#aedes.on('error' as 'closed', fail as () => void);
    // A client that was still connecting was not yet checked when credentials changed.
    this.#aedes.on('clientReady', (client) => this.#endIfOutdated(client));
    this.#aedes.on('subscribe', (subscriptions, client) => {
      const granted = subscriptions.filter((one) => wasGranted(one));
      this.#chunks.subscribed(
        client,
        granted.map(({ topic }) => topic),
      );
    });
    this.#aedes.on('unsubscribe', (topics, client) => {
      for (const topic of topics) this.#granted.get(client)?.delete(topic);
      this.#chunks.unsubscribed(client, topics);
    });
    this.#aedes.on('clientDisconnect', (client) => {
      this.#chunks.left(client);
      this.#options.onLeft?.(client);
    });
  }

  async #authenticate(
    client: Client,
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<AuthenticateError | null> {
    const login = await this.#logins.judge(client, username, password);
    if (login.kind === 'refused') return login.error;
    this.#identities.set(client, login.identity);
    this.sessions.own(client, login.owner);
    this.sessions.use(client, login.identity);
    if (keepsSession(client)) this.#options.persistence.beginDrain(client);
    if (login.isCertified) this.#certified.add(client);
    return null;
  }

  /** Also checks messages that were queued while the session was away, perhaps for another user. */
  #mayReceive(client: Client, topic: string): boolean {
    const identity = this.#identities.get(client);
    return identity !== undefined && decideReceive(identity, client.id, topic).kind === 'allow';
  }

  #maySubscribe(client: Client, filter: string): boolean {
    const identity = this.#identities.get(client);
    if (!identity) return false;
    const granted = this.#granted.get(client) ?? new Set<string>();
    this.#granted.set(client, granted);
    if (!granted.has(filter) && granted.size >= LIMITS.subscriptionsPerClientMax) return false;
    const hasRoom = !keepsSession(client) || this.sessions.hasRoomFor(client);
    const decision = hasRoom
      ? decideSubscribe(identity, client.id, filter)
      : ({ kind: 'deny', reason: 'too many sessions are kept already' } as const);
    if (decision.kind === 'allow') {
      granted.add(filter);
      return true;
    }
    const facts = { client: client.id, filter: filter.slice(0, 200), reason: decision.reason };
    this.#seldom.warn(`subscribe ${client.id}`, facts, 'subscription refused');
    this.#options.onRefused('ACCESS_DENIED');
    return false;
  }

  /** Does everything that must be true before PUBACK. Rejects to close the connection. */
  async #admit(client: Client | null, packet: PublishPacket): Promise<void> {
    try {
      this.#assertAccess(client, packet.topic);
      if (client) await this.#pace.takeTurn(this.#identities.get(client), client.id);
      await this.#topics.run(packet.topic, () => this.#keep(client, packet));
    } catch (error) {
      await this.#refuse(client, packet, error);
    }
  }

  async #keep(client: Client | null, packet: PublishPacket): Promise<void> {
    const payload = asBytes(packet.payload);
    const { topic, qos, retain } = packet;
    const identity = client && this.#identities.get(client);
    const by = client && identity ? { key: client, clientId: client.id, identity } : null;
    const outcome = await this.#options.ingest({ topic, payload, qos, retain, by });
    if (outcome === 'stored-chunk') neutralise(packet);
    else await this.#keepForSessions(packet, payload);
  }

  #assertAccess(client: Client | null, topic: string): void {
    // Without a client it is the will that a killed broker left; it was judged at CONNECT.
    if (!client) return;
    const identity = this.#identities.get(client);
    const decision = identity
      ? decidePublish(identity, client.id, topic)
      : ({ kind: 'deny', reason: 'not authenticated' } as const);
    if (decision.kind === 'allow') return;
    throw new DroverError('ACCESS_DENIED', `publish ${topic.slice(0, 200)}: ${decision.reason}`);
  }

  async #keepForSessions(packet: PublishPacket, payload: Uint8Array): Promise<void> {
    const { topic, qos } = packet;
    if (qos === 0) return;
    const sessions = await this.#options.persistence.subscriptionsByTopic(topic);
    if (sessions.length === 0) return;
    this.#journaled.set(packet, await this.#options.journal.add({ topic, payload, qos }));
  }

  #onPublished(packet: object): null {
    this.#options.persistence.published(packet);
    const key = this.#journaled.get(packet);
    if (key === undefined) return null;
    this.#options.journal.remove(key).catch((error: unknown) => {
      // It is sent once more at the next start: QoS 1 allows a repetition, but no loss.
      this.#options.log.warn({ error: String(error) }, 'journal entry could not be removed');
    });
    return null;
  }

  async #replayJournal(): Promise<void> {
    for (const { key, entry } of await this.#options.journal.leftovers()) {
      const packet = {
        cmd: 'publish',
        ...entry,
        payload: Buffer.from(entry.payload),
        retain: false,
        dup: false,
      } as const;
      await new Promise<void>((resolve, reject) => {
        this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
      });
      await this.#options.journal.remove(key);
    }
  }

  /** [P-9.1] */
  async #refuse(client: Client | null, packet: PublishPacket, error: unknown): Promise<void> {
    const problem = toProblem(error);
    const { log, onRefused } = this.#options;
    const facts = { client: client?.id, topic: packet.topic.slice(0, 200), problem };
    if (error instanceof DroverError)
      this.#seldom.warn(`refuse ${client?.id} ${problem.code}`, facts, 'message refused');
    else log.error({ ...facts, error: String(error) }, 'message failed');
    onRefused(problem.code);
    if (!client) return neutralise(packet, 0);
    if (!isId(client.id) || !isSubscribed(client, refusalsTopic(client.id))) throw error;
    const { code, message } = problem;
    const payload = Buffer.from(
      encodeRefusal({ code, message: message.slice(0, 1_000), topic: packet.topic }),
    );
    await handTo(client, { topic: refusalsTopic(client.id), payload, qos: 0 });
    if (problem.code === 'ACCESS_DENIED') throw error;
    neutralise(packet, 0); // without a QoS there is no PUBACK
  }
}
