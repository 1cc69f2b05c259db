/**
 * An external engine behind the EnginePort, over three connections as one user:
 *
 * - control: announcement, progress, lease, and reports of robots. A clean session: all of these
 *   are retained or requested again, so each connection receives the complete current state.
 * - events: a persistent session; each event is acknowledged when it is on our disk.
 * - chunks: reads chunks and publishes lost ones again, one address at a time, never by a wildcard.
 *   On control, megabytes of chunks would delay a lease. When control subscribes with QoS 0, this
 *   one also subscribes to the lease with QoS 1, only to check that the engine delivers it.
 *
 * A handler never waits for its own connection: the PUBACK would be queued behind the handler.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { ChunkStore, Log } from '../../shared/base/ports.ts';
import {
  chunkTopic,
  LEASE_TOPIC,
  PROGRESS_FILTER,
  RELAY_FILTER,
  mayRetain,
  robotFilter,
  UPDATES_TOPIC,
  TRUST_FILTER,
} from '../../shared/formats/topics.ts';
import { subscribeIfGranted } from '../../shared/io/wait-up.ts';
import { DeafCheck } from './deaf-check.ts';
import { EchoCheck } from './echo-check.ts';
import type { EnginePort, EngineStatus, HeardMessage } from '../mqtt/engine-port.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';
import { delivers0Only, isHandedOut, notEchoed } from './silence.ts';
import { UNTRIED } from './engine-needs.ts';
import { LogTrial } from './log-trial.ts';
import { judgeTrial, tryEngine } from './trial.ts';
import { WantLedger } from './engine-chunks.ts';
import { EngineLink, inWordsOfEngines, type EngineAddress, type LinkListener } from './link.ts';

const CONTROL_FILTERS = [TRUST_FILTER, UPDATES_TOPIC, PROGRESS_FILTER, LEASE_TOPIC];
const LEAVES = ['state', 'online', 'want'] as const;
const ROBOT_FILTERS = [...LEAVES.map((leaf) => robotFilter(leaf)), RELAY_FILTER];
const ROUND_TRIPS_OF_QUIET = 4;

export interface AttachedEngineOptions {
  readonly address: EngineAddress;
  readonly profile: EngineProfile;
  /** Client id of this data folder, equal at every start: the engine stores a session under it. */
  readonly clientId: string;
  /** True when the transparency log is guarded here. */
  readonly readsLog: boolean;
  readonly log: Log;
}

/** The listener of the engine's messages, from `attach` on. */
export interface AttachedListener {
  /** Copies of chunks, for robots that lack one. */
  readonly copies: ChunkStore;
  /** Resolves when it is on disk. If that fails, it rejects and the message comes again. */
  take(heard: HeardMessage): Promise<void>;
  /** A new connection: messages of an earlier one may not be retained any more. */
  onUp(): void;
  /** All retained announcements and progress of the engine have arrived. */
  onSettled(): void;
  onDown(): void;
  /** Called when a chunk was published on the engine. */
  onHeld(hash: Sha256Hex): void;
  /** Called when robots request chunks of which there is no copy. */
  onUnanswered(hashes: readonly Sha256Hex[]): void;
}

export class AttachedEngine implements EnginePort {
  readonly #options: AttachedEngineOptions;
  #listener: AttachedListener | null = null;
  #control: EngineLink | null = null;
  #events: EngineLink | null = null;
  #chunks: EngineLink | null = null;
  readonly #echo = new EchoCheck();
  readonly #deaf = new DeafCheck();
  readonly #wants = new WantLedger();
  readonly #logTrial: LogTrial;
  readonly #watch: NodeJS.Timeout;
  #retry: NodeJS.Timeout | null = null;
  /** Counts connections: a task that began on an earlier one must stop. */
  #epoch = 0;
  #eventsEpoch = 0;
  #controlHeardMs = 0;
  /** The connection was renewed because an echo was late, and no echo has arrived since. */
  #isRenewed = false;
  /** True while the broker asks the engine for a message whose echo is late. */
  #isJudging = false;
  #isUp = false;
  #sinceMs = Date.now();
  #problem: Problem | null = null;
  /** Set while the engine does not deliver messages of QoS 1. */
  #deafness: Problem | null = null;
  #lacks: readonly string[] = [];
  #unfit: Problem | null = null;

  constructor(options: AttachedEngineOptions) {
    this.#options = options;
    this.#logTrial = new LogTrial(options.log);
    this.#watch = setInterval(() => {
      this.#listenForEchoes();
      this.#noticeDeafness();
    }, LIMITS.echoMsMax / 4);
    this.#watch.unref();
  }

  /**
   * Resolves when attached and the retained messages have arrived. When it rejects, it has closed.
   * @throws DroverError BROKER_UNREACHABLE, BROKER_AUTH_REFUSED, ENGINE_TOPIC_DENIED, ENGINE_UNFIT
   */
  async attach(listener: AttachedListener): Promise<void> {
    this.#listener = listener;
    try {
      if (this.#options.profile.isTried) await this.#try();
      await this.#openLinks();
    } catch (error) {
      await this.close();
      throw inWordsOfEngines(error);
    }
  }

  /** The link to read and publish chunks. @throws DroverError BROKER_UNREACHABLE before `attach` */
  get chunkLink(): EngineLink {
    return attached(this.#chunks);
  }

  get status(): EngineStatus {
    const { profile, address } = this.#options;
    const failure = this.#control?.failure ?? this.#events?.failure ?? this.#chunks?.failure;
    return {
      kind: 'attached',
      profile: profile.name,
      url: address.url,
      isUp: this.#isUp,
      sinceMs: this.#sinceMs,
      // This problem comes first: such an engine ends our connections again and again.
      problem: this.#unfit ?? (failure ? toProblem(failure) : (this.#problem ?? this.#deafness)),
      lacks: this.#lacks,
    };
  }

  /** Sets the problem that a check found after the trial; null when the problem is over. */
  tellUnfit(problem: Problem | null): void {
    if (problem && !this.#unfit) this.#options.log.error({ problem }, 'the engine is unfit now');
    if (!problem && this.#unfit) this.#options.log.info({}, 'the engine retains messages again');
    this.#unfit = problem;
  }

  async publishOwn(topic: string, payload: Uint8Array): Promise<void> {
    const hasEcho = topic === LEASE_TOPIC || topic === UPDATES_TOPIC || isProgress(topic);
    if (hasEcho) this.#echo.sending(topic, payload, performance.now());
    try {
      await attached(this.#control).wire.send(topic, payload, { retain: mayRetain(topic), qos: 1 });
    } catch (error) {
      this.#echo.forget(topic);
      throw error;
    }
  }

  /** [P-7.9] */
  async answerWant(hashes: readonly Sha256Hex[]): Promise<void> {
    const { copies, onHeld, onUnanswered } = attached(this.#listener);
    const unanswered: Sha256Hex[] = [];
    for (const hash of this.#wants.take(hashes, performance.now())) {
      const bytes = await copies.get(hash);
      if (!bytes) {
        unanswered.push(hash);
        continue;
      }
      const again = { retain: true, qos: 1 } as const;
      await this.chunkLink.wire.send(chunkTopic(hash), bytes, again);
      onHeld(hash);
      this.#options.log.info({ hash }, 'wanted chunk published again');
    }
    if (unanswered.length > 0) onUnanswered(unanswered);
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    if (this.#retry) clearTimeout(this.#retry);
    this.#epoch += 1;
    this.#eventsEpoch += 1;
    this.#logTrial.end();
    for (const link of [this.#control, this.#events, this.#chunks]) await link?.close();
  }

  async #try(): Promise<void> {
    const lacks = await tryEngine(this.#options);
    if (lacks === null)
      return this.#options.log.warn({ reason: UNTRIED }, 'the engine could not be tried out');
    this.#lacks = judgeTrial(lacks);
    for (const what of this.#lacks) this.#options.log.warn({ what }, 'the engine lacks something');
  }

  async #openLinks(): Promise<void> {
    const { address, clientId, log } = this.#options;
    const wire = (part: string, keepsSession = false) => ({
      ...address,
      clientId: `${clientId}-${part}`,
      keepsSession,
    });
    const chunks: LinkListener = {
      onMessage: (topic, payload, isReplay) => {
        if (topic === LEASE_TOPIC && !isReplay) this.#deaf.heard(1, payload, performance.now());
      },
      onUp: () => {
        if (this.#chunks) this.#followLease().catch((error: unknown) => this.#fail(error));
      },
      onDown: () => this.#deaf.ended(),
    };
    this.#chunks = await EngineLink.open(wire('chunks'), chunks, log);
    await this.#followLease();
    const control: LinkListener = {
      onMessage: async (topic, payload, isReplay) => await this.#hear(topic, payload, isReplay),
      onUp: () => this.#again(),
      onDown: (reason) => this.#onDown(reason),
    };
    this.#control = await EngineLink.open(wire('control'), control, log);
    const events: LinkListener = {
      onMessage: async (topic, payload) => await this.#hearEvent(topic, payload),
      onUp: () => {
        if (this.#events) this.#followEvents().catch((error: unknown) => this.#fail(error));
      },
      onDown: () => (this.#eventsEpoch += 1),
    };
    this.#events = await EngineLink.open(wire('events', true), events, log);
    await this.#followEvents();
    await this.#begin();
  }

  async #followLease(): Promise<void> {
    if (this.#options.profile.controlQos === 1) return; // the echo watch notices it there
    await attached(this.#chunks).wire.subscribe([LEASE_TOPIC], 1);
    this.#deaf.subscribed();
  }

  async #followEvents(): Promise<void> {
    await attached(this.#events).wire.subscribe([robotFilter('events')], 1);
  }

  /** Starts a new connection, from its first subscription to the last retained message. */
  async #begin(): Promise<void> {
    const epoch = ++this.#epoch;
    const { wire } = attached(this.#control);
    const { readsLog, log, profile } = this.#options;
    const listener = attached(this.#listener);
    this.#echo.clear();
    listener.onUp();
    const askedAtMs = performance.now();
    await wire.subscribe(CONTROL_FILTERS, profile.controlQos);
    if (readsLog) await this.#logTrial.begin(wire, profile.controlQos);
    await this.#untilQuiet(epoch, performance.now() - askedAtMs);
    if (epoch !== this.#epoch) return;
    listener.onSettled();
    await wire.subscribe(ROBOT_FILTERS, profile.controlQos);
    await subscribeIfGranted(wire, [robotFilter('logs')], profile.controlQos);
    if (epoch !== this.#epoch) return;
    this.#problem = null;
    this.#setUp(true);
    log.info({ engine: this.#options.address.url }, 'attached to the engine');
  }

  #again(): void {
    if (this.#control) this.#begin().catch((error: unknown) => this.#fail(error));
  }

  /** Ends at the first pause: MQTT 3.1.1 does not mark the last retained message. */
  async #untilQuiet(epoch: number, roundTripMs: number): Promise<void> {
    const startedMs = performance.now();
    const quietMs = Math.max(LIMITS.quietMs, roundTripMs * ROUND_TRIPS_OF_QUIET);
    this.#controlHeardMs = startedMs;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      const now = performance.now();
      if (epoch !== this.#epoch || now - this.#controlHeardMs >= quietMs) return;
      if (now - startedMs >= LIMITS.retainedWaitMsMax) return;
    }
  }

  #onDown(reason: string): void {
    this.#epoch += 1;
    this.#logTrial.lost();
    this.#setUp(false);
    this.#options.log.warn({ engine: this.#options.address.url, reason }, 'lost the engine');
    this.#listener?.onDown();
  }

  #setUp(isUp: boolean): void {
    if (isUp !== this.#isUp) this.#sinceMs = Date.now();
    this.#isUp = isUp;
  }

  /** After a lost link `onUp` is called again; a refusal lasts until an operator acts. */
  #fail(error: unknown): void {
    if (error instanceof DroverError && error.code === 'BROKER_UNREACHABLE') return;
    this.#note(error instanceof DroverError ? inWordsOfEngines(error) : error);
    this.#setUp(false);
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (this.#events?.wire.isUp) this.#followEvents().catch((late: unknown) => this.#fail(late));
      if (this.#chunks?.wire.isUp) this.#followLease().catch((late: unknown) => this.#fail(late));
      if (this.#control?.wire.isUp) this.#again();
    }, LIMITS.retrySoonMs);
  }

  #note(error: unknown): void {
    this.#problem = toProblem(error);
    this.#options.log.error(
      { problem: this.#problem },
      'the engine refused the connection, an operator is needed',
    );
  }

  async #hear(topic: string, payload: Uint8Array, isReplay: boolean): Promise<void> {
    if (this.#logTrial.heard(topic)) return;
    if (topic === LEASE_TOPIC && !isReplay) this.#deaf.heard(0, payload, performance.now());
    if (!topic.startsWith('fleet/robots/')) {
      this.#controlHeardMs = performance.now();
      if (this.#echo.heard(topic, payload) && this.#isUp) {
        this.#isRenewed = false;
        this.#problem = null;
      }
    }
    try {
      await attached(this.#listener).take({ topic, payload, isReplay });
    } catch (error) {
      // The message is retained, or sent again: the next connection brings what our copy lacks.
      this.#options.log.error({ topic, problem: toProblem(error) }, 'message not kept');
    }
  }

  /** Retries until the event is on our disk; after a lost connection the engine sends it again. */
  async #hearEvent(topic: string, payload: Uint8Array): Promise<void> {
    const epoch = this.#eventsEpoch;
    for (;;) {
      try {
        return await attached(this.#listener).take({ topic, payload, isReplay: false });
      } catch (error) {
        this.#options.log.error(
          { topic, problem: toProblem(error) },
          'could not store event, retrying',
        );
        await new Promise((resolve) => setTimeout(resolve, LIMITS.eventRetryMs));
        if (epoch !== this.#eventsEpoch) throw error;
      }
    }
  }

  #listenForEchoes(): void {
    if (!this.#isUp || this.#problem !== null) return;
    const [topic] = this.#echo.late(performance.now());
    if (topic === undefined) return;
    // A restarted engine may have lost our subscriptions: a new connection repairs that, but no
    // access list.
    if (!this.#isRenewed) {
      this.#isRenewed = true;
      this.#options.log.warn({ topic }, 'published message was not echoed, reconnecting');
      const why = `${topic} was published and not heard again`;
      for (const link of [this.#control, this.#events, this.#chunks]) link?.renew(why);
      return;
    }
    if (this.#isJudging) return;
    this.#isJudging = true;
    const judged = this.#judgeSilence(topic).finally(() => (this.#isJudging = false));
    inBackground(this.#options.log, 'ask for a message that was not echoed', judged);
  }

  /** A message that a new subscriber gets is permitted: the engine did not deliver it to us. */
  async #judgeSilence(topic: string): Promise<void> {
    const { address, clientId, log, profile } = this.#options;
    const options = { ...address, clientId: `${clientId}-asks` };
    const isOwn = (payload: Uint8Array): boolean => this.#echo.isExpected(topic, payload);
    const epoch = this.#epoch;
    const isWanted = (): boolean => epoch === this.#epoch;
    const isKept = await isHandedOut(options, { topic, isOwn, isWanted }, log);
    if (!isWanted() || !this.#echo.late(performance.now()).includes(topic)) return;
    this.#note(notEchoed(topic, profile, isKept));
  }

  #noticeDeafness(): void {
    const isDeaf = this.#deaf.isDeaf(performance.now());
    if (isDeaf === (this.#deafness !== null)) return;
    const { log, profile } = this.#options;
    this.#deafness = isDeaf ? toProblem(delivers0Only(profile)) : null;
    if (isDeaf) log.error({ problem: this.#deafness }, 'the engine does not deliver to robots');
    else log.info({}, 'the engine delivers again');
  }
}

/** Returns a part that exists once `attach` was called. */
function attached<T>(part: T | null): T {
  if (part !== null) return part;
  throw new DroverError('BROKER_UNREACHABLE', 'reach engine: not attached yet');
}

const isProgress = (topic: string): boolean => topic.startsWith(PROGRESS_FILTER.slice(0, -1));
