/**
 * The only file that imports `mqtt`: a link to a broker behind the Wire port. Each connection is a
 * fresh client of the library, so no subscription, queue or half-sent message leaks into the next
 * one; reconnects wait with full jitter.
 * The broker is not trusted: a packet larger than any of our messages closes the connection before
 * it is collected in memory.
 */

import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { Buffer } from 'node:buffer';
import { countEndings, reconnectMs, waitsOf } from '../base/backoff.ts';
import { securedUrl, splitBrokerUrls } from '../base/broker-urls.ts';
import { DroverError, toProblem } from '../base/errors.ts';
import type { MonoMs } from '../base/ids.ts';
import { inBackground } from '../base/in-background.ts';
import { LIMITS } from '../base/limits.ts';
import { programOf } from '../formats/client-ids.ts';
import { parseRefusal } from '../formats/messages.ts';
import { PacketGuard } from '../transfer/packet-guard.ts';
import type { Log, SendOptions, Wire, WireHandlers } from '../base/ports.ts';
import { CHUNKS_ROOT, refusalsTopic } from '../formats/topics.ts';
import {
  closed,
  isLoginRefusal,
  linkFailure,
  readTls,
  refusedConnack,
  type LinkFacts,
} from './link-failure.ts';
import { keepNumbersOutOfMemory, refuseUnnumbered } from './packet-numbers.ts';

export interface MqttWireOptions {
  /** mqtt:// mqtts:// ws:// or wss://, without credentials; several of a cluster with commas. */
  readonly url: string;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  /** PEM file of the authority that signed the broker's certificate. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly will?: { topic: string; payload: Uint8Array; retain: boolean };
  /** A dead link is noticed after one and a half of it; default `keepaliveS` of the limits. */
  readonly keepaliveS?: number;
  /** Publishers subscribe to the broker's refusals; robots do not need them. */
  readonly listenForRefusals?: boolean;
  /** The broker keeps subscriptions and unacknowledged messages for this id while it is away. */
  readonly keepsSession?: boolean;
  /** Highest QoS for chunks: a NATS cluster takes half a second for each filter with QoS 1. */
  readonly chunkQos?: 0 | 1;
}

const PACKET_BYTES_MAX = LIMITS.chunkBytesMax + LIMITS.packetOverheadBytesMax;
const SUBACK_FAILURE = 0x80;
export class MqttWire implements Wire {
  readonly #options: MqttWireOptions;
  readonly #handlers: WireHandlers;
  readonly #log: Log;
  readonly #pending = new Map<object, { topic: string; reject: (error: DroverError) => void }>();
  #client: MqttClient | null = null;
  #up = false;
  #closed = false;
  readonly #urls: readonly string[];
  /** Index of the current address in the options. */
  #at = 0;
  #attempt = 0;
  /** Connections in a row that delivered no message. */
  #unserved = 0;
  #endings = 0;
  #upAtMs: MonoMs = -Infinity;
  #heardAtMs: MonoMs = -Infinity;
  #bodyAtMs: MonoMs = -Infinity;
  #retryTimer: NodeJS.Timeout | null = null;
  #lastError: DroverError | null = null;
  /** Why this connection failed or ended, as far as is known; an earlier one had its own reason. */
  #thisError: DroverError | null = null;

  constructor(options: MqttWireOptions, handlers: WireHandlers, log: Log) {
    this.#options = options;
    this.#handlers = handlers;
    this.#log = log;
    const urls = splitBrokerUrls(options.url);
    this.#urls = options.certFile === undefined ? urls : urls.map(securedUrl);
    keepNumbersOutOfMemory();
    this.#connect();
  }

  /** The address that is connected, or being tried. */
  get #url(): string {
    return this.#urls[this.#at] as string;
  }

  get isUp(): boolean {
    return this.#up;
  }

  get bodyAtMs(): MonoMs {
    return this.#bodyAtMs;
  }

  /** Failed attempts in a row. */
  get failedAttempts(): number {
    return this.#attempt;
  }

  get endings(): number {
    return this.#endings;
  }

  /** Why the last connection failed or ended; null when there was no failure yet. */
  get lastError(): DroverError | null {
    return this.#lastError;
  }

  send(topic: string, payload: Uint8Array, options: SendOptions): Promise<void> {
    return this.#request(topic, (client, settle) => {
      client.publish(
        topic,
        Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
        options,
        settle,
      );
    });
  }

  subscribe(filters: readonly string[], asked: 0 | 1): Promise<void> {
    const isChunks = filters[0]?.startsWith(`${CHUNKS_ROOT}/`) === true;
    const qos = isChunks && this.#options.chunkQos === 0 ? 0 : asked;
    return this.#request(filters[0] ?? '', (client, settle) => {
      client.subscribe([...filters], { qos }, (error) => {
        // A failed SUBACK (0x80, MQTT 3.1.1 §3.9.3) comes as an error that carries the packet.
        const { granted } = (error as { packet?: { granted?: unknown } } | null)?.packet ?? {};
        const isRefused = Array.isArray(granted) && granted.includes(SUBACK_FAILURE);
        if (!isRefused) return settle(error ?? undefined);
        const names = filters.join(' ').slice(0, 200);
        settle(new DroverError('ACCESS_DENIED', `subscribe ${names}: refused by the broker`));
      });
    });
  }

  unsubscribe(filters: readonly string[]): Promise<void> {
    return this.#request(filters[0] ?? '', (client, settle) => {
      client.unsubscribe([...filters], (error) => settle(error ?? undefined));
    });
  }

  /** Ends a connection that seems to be up and does not work; another one is made. */
  renew(why: DroverError): void {
    if (!this.#client || !this.#up) return;
    this.#failPending(this.#unreachable(why.message));
    this.#failed(why);
    this.#client.stream.destroy();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#retryTimer) clearTimeout(this.#retryTimer);
    const client = this.#client;
    this.#client = null;
    if (!client) return;
    await new Promise<void>((resolve) => {
      // A peer that never closes its side must not hold up our exit, and neither must a message
      // that was refused and will never be acknowledged: a second end() would wait for it as well.
      const force = setTimeout(() => {
        client.stream.destroy();
        resolve();
      }, 1_000);
      client.end(false, () => {
        clearTimeout(force);
        resolve();
      });
    });
    this.#failPending(this.#unreachable('closed'));
    this.#up = false;
  }

  #request(
    topic: string,
    run: (client: MqttClient, settle: (error?: Error) => void) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const client = this.#client;
      if (!client || !this.#up) {
        reject(this.#lastError ?? this.#unreachable('not connected'));
        return;
      }
      const key = {};
      this.#pending.set(key, { topic, reject });
      run(client, (error) => {
        if (!this.#pending.delete(key)) return;
        if (!error) resolve();
        else reject(error instanceof DroverError ? error : this.#unreachable(error.message));
      });
    });
  }

  #unreachable(why: string): DroverError {
    return new DroverError('BROKER_UNREACHABLE', `reach broker ${this.#url}: ${why}`);
  }

  get #facts(): LinkFacts {
    const { certFile, username, clientId } = this.#options;
    const login = { isCertified: certFile !== undefined, hasUser: username !== undefined };
    return { url: this.#url, doing: 'reach broker', ...login, program: programOf(clientId) };
  }

  #failed(error: DroverError): void {
    this.#thisError = error;
    this.#lastError = error;
  }

  #connect(): void {
    this.#thisError = null;
    let tls: IClientOptions;
    try {
      tls = readTls(this.#options);
    } catch (error) {
      // Read again for each connection, since they are renewed: perhaps at this very moment.
      const why = error instanceof Error ? error.message : String(error);
      const problem = new DroverError('FILE_UNREADABLE', `read certificate: ${why}`);
      this.#failed(problem);
      if (this.#handlers.onFailed) this.#handlers.onFailed(problem);
      else this.#log.warn({ problem: problem.message }, 'could not try a connection');
      return this.#connectLater();
    }
    const { clientId, username, password, will } = this.#options;
    const { keepsSession = false, keepaliveS = LIMITS.keepaliveS } = this.#options;
    const settings: IClientOptions = {
      clientId,
      clean: !keepsSession,
      keepalive: keepaliveS,
      reconnectPeriod: 0,
      connectTimeout: LIMITS.connectWaitMs,
      ...{ resubscribe: false, queueQoSZero: false },
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(will ? { will: { ...will, payload: Buffer.from(will.payload), qos: 1 } } : {}),
      ...tls,
    };
    const client = mqtt.connect(this.#url, settings);
    this.#client = client;
    refuseUnnumbered(client);
    this.#guard(client);
    this.#keepAlive(client, keepaliveS);
    client.on('connect', () => this.#onConnect(client));
    client.on('error', (error) => this.#onError(client, error));
    client.on('close', () => this.#onClose(client));
    client.handleMessage = (packet, done) => {
      const delivered = this.#deliver(packet).then(
        () => done(),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      );
      inBackground(this.#log, 'take a message', delivered);
    };
  }

  #guard(client: MqttClient): void {
    const guard = new PacketGuard(() => PACKET_BYTES_MAX);
    const stream = client.stream as NodeJS.EventEmitter & {
      setNoDelay?: (on: boolean) => void;
      destroy: (error?: Error) => void;
    };
    // Small acknowledgements must not wait for Nagle: 23 instead of 400 MiB/s was measured.
    stream.setNoDelay?.(true);
    stream.on('data', (bytes: Uint8Array) => {
      const wasInBody = guard.isInBody;
      const isOk = guard.feed(bytes).kind === 'ok';
      this.#heardAtMs = performance.now();
      if (wasInBody || guard.isInBody) this.#bodyAtMs = this.#heardAtMs;
      if (isOk) return;
      // The library passes on errors of sockets only, so the reason is kept here.
      this.#failed(this.#unreachable('it sent a packet larger than any message of ours'));
      stream.destroy();
    });
  }

  /**
   * The library considers a link dead without a PINGRESP, but on a slow one that waits behind a
   * chunk for minutes. So a link is dead only when nothing else came either; until then each tick
   * sends another ping, which also tells the peer that we live.
   */
  #keepAlive(client: MqttClient, keepaliveS: number): void {
    const end = client.onKeepaliveTimeout.bind(client);
    client.onKeepaliveTimeout = () => {
      if (performance.now() - this.#heardAtMs < keepaliveS * 1_000) client.sendPing();
      else end();
    };
  }

  async #deliver({ topic, payload, retain }: IPublishPacket): Promise<void> {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    this.#unserved = 0;
    if (topic === refusalsTopic(this.#options.clientId)) this.#onRefusal(bytes);
    else await this.#handlers.onMessage(topic, bytes, retain);
  }

  /** [P-9.2] */
  #onRefusal(bytes: Uint8Array): void {
    const refusal = parseRefusal(bytes);
    const error = new DroverError(refusal.code, refusal.message);
    for (const [key, waiting] of this.#pending) {
      if (waiting.topic !== refusal.topic) continue;
      this.#pending.delete(key);
      waiting.reject(error);
    }
  }

  #onConnect(client: MqttClient): void {
    this.#attempt = 0;
    this.#up = true;
    this.#upAtMs = performance.now();
    this.#lastError = null;
    this.#thisError = null;
    if (this.#options.listenForRefusals === true) {
      client.subscribe(refusalsTopic(this.#options.clientId), { qos: 0 });
    }
    this.#log.debug({ url: this.#url }, 'connected to broker');
    this.#handlers.onUp?.();
  }

  #onError(client: MqttClient, error: Error & { code?: unknown }): void {
    client.stream.destroy(); // after bytes that it cannot read, the library reads nothing more
    const refusal = refusedConnack(error, this.#facts, this.#options.clientId);
    const problem = refusal ?? linkFailure(error, this.#facts);
    this.#failed(problem);
    // Once, and not at the first attempt: a command that makes only one reports it itself.
    const isNews = refusal !== null && this.#attempt === 1 && !this.#handlers.onFailed;
    if (isNews) this.#log.warn({ problem: toProblem(problem) }, 'the broker refused the login');
    else this.#log.debug({ reason: error.message }, 'link error');
  }

  #onClose(client: MqttClient): void {
    if (client !== this.#client) return;
    const wasUp = this.#up;
    this.#up = false;
    this.#client = null;
    client.removeAllListeners();
    client.on('error', () => {}); // a late error of a finished connection has no reader
    client.end(true);
    const isEndedByPeer = wasUp && this.#thisError === null;
    if (isEndedByPeer) {
      const livedMs = performance.now() - this.#upAtMs;
      this.#endings = countEndings(this.#endings, livedMs, this.#unserved);
    }
    const reason = this.#thisError ?? closed(this.#facts, { wasUp });
    this.#lastError = reason;
    this.#failPending(reason);
    if (wasUp) this.#handlers.onDown?.(reason.message);
    else this.#handlers.onFailed?.(reason);
    this.#connectLater();
  }

  #connectLater(): void {
    if (this.#closed) return;
    const bounds = { minMs: LIMITS.reconnectMsMin, maxMs: LIMITS.reconnectMsMax };
    const waits = waitsOf({ unserved: this.#unserved, endings: this.#endings });
    const waitMs = reconnectMs(waits, bounds, Math.random());
    this.#attempt += 1;
    this.#unserved += 1;
    this.#at = (this.#at + 1) % this.#urls.length;
    this.#retryTimer = setTimeout(() => this.#connect(), waitMs);
  }

  #failPending(error: DroverError): void {
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of waiting) reject(error);
  }
}

/** Returns before the link is up. */
export function openMqttWire(options: MqttWireOptions, handlers: WireHandlers, log: Log): Wire {
  return new MqttWire(options, handlers, log);
}

/** Resolves when the link is up; rejects with the last failure after `connectWaitMs`, at once when
 * the credentials or the client id were refused. */
export async function connectWire(
  options: MqttWireOptions,
  handlers: WireHandlers,
  log: Log,
): Promise<MqttWire> {
  return await new Promise((resolve, reject) => {
    const startedAtMs = performance.now();
    const wire: MqttWire = new MqttWire(options, handlers, log);
    const poll = setInterval(() => {
      const refused = isLoginRefusal(wire.lastError?.code);
      const late =
        performance.now() - startedAtMs > LIMITS.connectWaitMs ||
        wire.failedAttempts >= LIMITS.connectAttemptsMax;
      if (!wire.isUp && !refused && !late) return;
      clearInterval(poll);
      if (wire.isUp) return resolve(wire);
      const error =
        wire.lastError ??
        new DroverError('BROKER_UNREACHABLE', `reach broker ${options.url}: no answer`);
      wire.close().then(() => reject(error), reject);
    }, 20);
  });
}
