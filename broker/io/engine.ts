/**
 * The embedded MQTT engine: Aedes with our rules on its doors. What is published is judged,
 * verified and made durable in `authorizePublish`, because Aedes writes PUBACK right after it; what
 * is subscribed is served by DroverPersistence.
 *
 * MQTT 3.1.1 cannot say why a message was not taken. A client that listens on its refusals topic is
 * told there and gets no PUBACK; any other is disconnected, which is all the protocol has.
 */

import {
  Aedes,
  type AedesPublishPacket,
  type AuthenticateError,
  type Client,
  type PublishPacket,
} from 'aedes';
import type { Duplex } from 'node:stream';
import { DroverError, toProblem } from '../../shared/errors.ts';
import { isId, type Sha256Hex } from '../../shared/ids.ts';
import { LIMITS } from '../../shared/limits.ts';
import { encodeRefusal } from '../../shared/messages.ts';
import type { ChunkStore, Log } from '../../shared/ports.ts';
import { chunkOfFilter, chunkTopic, refusalsTopic } from '../../shared/topics.ts';
import { decidePublish, decideSubscribe, type Identity } from '../core/access.ts';
import { EMBEDDED, type EnginePort, type EngineStatus } from '../core/engine-port.ts';
import { CopyFilter } from './copy-filter.ts';
import type { Credentials } from './credentials.ts';
import type { IngestJournal } from './ingest-journal.ts';
import type { DroverPersistence } from './persistence.ts';

/** Nobody may subscribe to it: where a message goes that has been dealt with. */
const INERT_TOPIC = '$drover/ingested';
const NOTHING = Buffer.alloc(0);

export interface Incoming {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

export interface EngineOptions {
  readonly persistence: DroverPersistence;
  readonly journal: IngestJournal;
  readonly chunks: ChunkStore;
  readonly credentials: Credentials | null;
  /** Whom a connection's certificate names; null when it showed none. */
  certified(connection: Duplex): Identity | null;
  /** True where nobody may stay nameless, credentials or not. */
  readonly needsName: boolean;
  readonly log: Log;
  /** Verifies and stores; durable when it resolves, a DroverError when the message is not taken. */
  ingest(message: Incoming): Promise<'stored-chunk' | 'pass-on'>;
  onRefused(code: string): void;
}

export class Engine implements EnginePort {
  readonly #options: EngineOptions;
  readonly #identities = new WeakMap<Client, Identity>();
  /** Clients that asked for a chunk and may still be waiting for it. */
  readonly #waiting = new Map<Sha256Hex, Set<Client>>();
  readonly #asked = new WeakMap<Client, Set<Sha256Hex>>();
  readonly #delivering = new Set<string>();
  readonly #wills = new WeakMap<Client, string | null>();
  readonly #journaled = new WeakMap<object, string>();
  readonly #copies = new CopyFilter();
  readonly status: EngineStatus = { ...EMBEDDED, sinceMs: Date.now() };
  #aedes!: Aedes;

  private constructor(options: EngineOptions) {
    this.#options = options;
  }

  static async open(options: EngineOptions): Promise<Engine> {
    const engine = new Engine(options);
    engine.#aedes = await Aedes.createBroker({
      persistence: options.persistence,
      concurrency: LIMITS.deliverySlots,
      connectTimeout: LIMITS.connectTimeoutMs,
      drainTimeout: LIMITS.drainTimeoutMs,
      maxClientsIdLength: LIMITS.idLengthMax,
      preConnect: (client, packet, done) => {
        engine.#wills.set(client, packet.will?.topic ?? null);
        engine.#copies.takeOver(client);
        done(null, true);
      },
      authenticate: (client, username, password, done) => {
        void engine.#authenticate(client, username, password).then(
          (error) => done(error, error === null),
          (error: unknown) => {
            // Too many at once is for the one who waits; a flood of them must not flood the log.
            const isExpected = error instanceof DroverError;
            options.log[isExpected ? 'debug' : 'error'](
              { error: String(error) },
              'login not judged',
            );
            done(refusedLogin(3), null);
          },
        );
      },
      authorizePublish: (client, packet, done) => {
        void engine.#admit(client, packet).then(
          () => done(null),
          (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
        );
      },
      authorizeSubscribe: (client, subscription, done) => {
        done(null, engine.#maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (client, packet) => (engine.#copies.isCopy(client, packet) ? null : packet),
      published: (packet, _client, done) => {
        engine.#forgetJournal(packet);
        done(null);
      },
    });
    engine.#listen();
    await engine.#replayJournal();
    return engine;
  }

  handle(connection: Duplex): void {
    this.#aedes.handle(connection);
  }

  isConnected(connection: Duplex): boolean {
    const { client } = connection as Duplex & { client?: { connected?: boolean } };
    return client?.connected === true;
  }

  /** A new chunk was stored: who waits for it gets it. */
  async deliverToWaiting(hash: Sha256Hex): Promise<void> {
    for (const client of [...(this.#waiting.get(hash) ?? [])]) await this.#deliver(client, hash);
  }

  /** Sends chunks again to whoever asked for them with `want`. */
  async answerWant(hashes: readonly Sha256Hex[]): Promise<void> {
    for (const hash of hashes) await this.deliverToWaiting(hash);
  }

  /**
   * A retained message of the broker itself; stored when it resolves, then given to subscribers.
   * @throws DroverError when it is not taken, as anybody else's
   */
  async publishOwn(topic: string, payload: Uint8Array): Promise<void> {
    const message = { topic, payload: Buffer.from(payload), qos: 1, retain: true } as const;
    await this.#options.ingest(message);
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null): void => (error ? reject(error) : resolve());
      this.#aedes.publish({ cmd: 'publish', dup: false, ...message }, done);
    });
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
  }

  #listen(): void {
    const { log } = this.#options;
    const quiet = (client: Client, error: Error): void =>
      log.debug({ client: client?.id, error: error.message }, 'client error');
    this.#aedes.on('clientError', quiet);
    this.#aedes.on('connectionError', quiet);
    this.#aedes.on(
      'error' as 'closed',
      ((error: unknown) => {
        log.error({ error: String(error) }, 'engine error');
      }) as () => void,
    );
    this.#aedes.on('subscribe', (subscriptions, client) => {
      for (const { topic } of subscriptions) this.#wait(client, topic);
    });
    this.#aedes.on('unsubscribe', (topics, client) => {
      for (const topic of topics) this.#unwait(client, chunkOfFilter(topic));
    });
    this.#aedes.on('clientDisconnect', (client) => {
      for (const hash of [...(this.#asked.get(client) ?? [])]) this.#unwait(client, hash);
    });
  }

  async #authenticate(
    client: Client,
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<AuthenticateError | null> {
    const { credentials, needsName } = this.#options;
    const nameless: Identity | null = needsName ? null : { kind: 'anyone' };
    const identity =
      this.#options.certified(client.conn as Duplex) ??
      (credentials ? await credentials.authenticate(username, password) : nameless);
    if (!identity) return refusedLogin(4);
    const will = this.#wills.get(client) ?? null;
    // A will is published when the client can no longer be asked, so it is judged now.
    if (will !== null && decidePublish(identity, client.id, will).kind === 'deny') {
      return refusedLogin(5);
    }
    this.#identities.set(client, identity);
    return null;
  }

  #maySubscribe(client: Client, filter: string): boolean {
    const identity = this.#identities.get(client);
    if (!identity) return false;
    if (Object.keys(subscriptionsOf(client)).length >= LIMITS.subscriptionsPerClientMax)
      return false;
    const decision = decideSubscribe(identity, client.id, filter);
    if (decision.kind === 'allow') return true;
    this.#options.log.warn(
      { client: client.id, filter, reason: decision.reason },
      'subscription refused',
    );
    this.#options.onRefused('ACCESS_DENIED');
    return false;
  }

  /** Everything that must be true before PUBACK. Rejects to close the connection. */
  async #admit(client: Client | null, packet: PublishPacket): Promise<void> {
    try {
      this.#assertAccess(client, packet.topic);
      const payload = asBytes(packet.payload);
      const { topic, qos, retain } = packet;
      const outcome = await this.#options.ingest({ topic, payload, qos, retain });
      if (outcome === 'stored-chunk') return neutralise(packet);
      await this.#keepForSessions(packet, payload);
    } catch (error) {
      await this.#refuse(client, packet, error);
    }
  }

  #assertAccess(client: Client | null, topic: string): void {
    // No client: the will of one that a killed broker left behind, judged at its CONNECT.
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

  #forgetJournal(packet: object): void {
    const key = this.#journaled.get(packet);
    if (key === undefined) return;
    this.#options.journal.remove(key).catch((error: unknown) => {
      // It will be sent once more at the next boot: QoS 1 allows that, a loss it does not.
      this.#options.log.warn({ error: String(error) }, 'journal entry could not be removed');
    });
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

  async #refuse(client: Client | null, packet: PublishPacket, error: unknown): Promise<void> {
    const problem = toProblem(error);
    const { log, onRefused } = this.#options;
    if (error instanceof DroverError)
      log.warn({ client: client?.id, topic: packet.topic, problem }, 'message refused');
    else
      log.error(
        { client: client?.id, topic: packet.topic, error: String(error) },
        'message failed',
      );
    onRefused(problem.code);
    if (!client) return neutralise(packet, 0);
    const listens =
      isId(client.id) && Object.hasOwn(subscriptionsOf(client), refusalsTopic(client.id));
    if (!listens) throw error;
    const { code, message } = problem;
    const payload = Buffer.from(
      encodeRefusal({ code, message: message.slice(0, 1_000), topic: packet.topic }),
    );
    const notice = {
      cmd: 'publish',
      topic: refusalsTopic(client.id),
      payload,
      qos: 0,
      retain: false,
      dup: false,
    } as const;
    await new Promise<void>((resolve) => client.publish(notice, () => resolve()));
    if (problem.code === 'ACCESS_DENIED') throw error;
    neutralise(packet, 0); // without a QoS there is no PUBACK
  }

  #wait(client: Client, topic: string): void {
    const hash = chunkOfFilter(topic);
    if (hash === null) return;
    this.#waiting.set(hash, (this.#waiting.get(hash) ?? new Set<Client>()).add(client));
    this.#asked.set(client, (this.#asked.get(client) ?? new Set<Sha256Hex>()).add(hash));
  }

  #unwait(client: Client, hash: Sha256Hex | null): void {
    const waiting = hash === null ? undefined : this.#waiting.get(hash);
    if (hash === null || !waiting?.delete(client)) return;
    this.#asked.get(client)?.delete(hash);
    if (waiting.size === 0) this.#waiting.delete(hash);
  }

  /** Straight to one client: not through the emitter, whose slots one stalled reader could hold. */
  async #deliver(client: Client, hash: Sha256Hex): Promise<void> {
    const key = `${client.id} ${hash}`;
    const { conn } = client as Client & { conn: Duplex };
    if (this.#delivering.has(key) || conn.writableLength > LIMITS.windowBytesMax) return;
    this.#delivering.add(key);
    try {
      const payload = await this.#options.chunks.get(hash);
      if (!payload) return;
      const packet = {
        cmd: 'publish',
        topic: chunkTopic(hash),
        payload: Buffer.from(payload),
        qos: 1,
        retain: false,
        dup: false,
      } as const;
      await new Promise<void>((resolve) => client.publish(packet, () => resolve()));
    } catch (error) {
      this.#options.log.error({ error: String(error), hash }, 'chunk could not be delivered');
    } finally {
      this.#delivering.delete(key);
    }
  }
}

function subscriptionsOf(client: Client): object {
  return (client as Client & { subscriptions: object }).subscriptions;
}

function asBytes(payload: string | Uint8Array): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload) : payload;
}

/** The packet has been dealt with: Aedes acknowledges it by its id and has nothing to pass on. */
function neutralise(packet: PublishPacket | AedesPublishPacket, qos?: 0): void {
  packet.topic = INERT_TOPIC;
  packet.payload = NOTHING;
  packet.retain = false;
  if (qos !== undefined) packet.qos = qos;
}

/** CONNACK return codes of MQTT 3.1.1 §3.2.2.3: 3 unavailable, 4 wrong credentials, 5 not allowed. */
function refusedLogin(returnCode: 3 | 4 | 5): AuthenticateError {
  return Object.assign(new Error('login refused'), { returnCode });
}
